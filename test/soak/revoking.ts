import { setTimeout } from 'node:timers/promises'
import { type Asker, basic, bearer, codeOf, type Headers, pick, reachOf, sqlClient } from './ask.ts'
import type { Caller } from './callers.ts'
import { staleMs } from './configuration.ts'
import type { Fault, Ledger, Outcome, Weather } from './ledger.ts'
import { leavers, locked, type Node, type SoakWorld } from './world.ts'

/** The promise: what is taken back passes nowhere any more after this. */
const promisedMs = 1_000
const pauseMs = 400

type Kind = 'token' | 'subject' | 'API key' | 'account' | 'token of our own'

/** Times by `performance.now()`. */
interface Taken {
  readonly headers: Headers
  /** When it was acknowledged. */
  readonly at: number
  /** From when on it must pass nowhere. */
  readonly from: number
  /** It runs out by itself. */
  readonly until: number
}

/** Takes credentials back, one after the other, each after it was good; and shows them again and again. */
export class RevokedCredentials {
  readonly #world: SoakWorld
  readonly #asker: Asker
  readonly #ledger: Ledger
  readonly #weather: Weather
  readonly #taken = new Map<Kind, Taken[]>()
  readonly #sessions: Promise<void>[] = []
  #keys = 0
  #accounts = 0
  /** The longest that one passed after its revocation was acknowledged, in ms. */
  latestMs = 0
  /** The longest that a session lived on, in ms. */
  latestSessionMs = 0

  constructor(world: SoakWorld, asker: Asker, ledger: Ledger, weather: Weather) {
    this.#world = world
    this.#asker = asker
    this.#ledger = ledger
    this.#weather = weather
    ledger.expect('session of a revoked token ends')
  }

  callers(): readonly Caller[] {
    const row = (kind: Kind, share: number, wanted: readonly number[], needs: readonly Fault[]): Caller => ({
      ...{ name: `bad: revoked ${kind}`, share },
      ask: nonce => this.#show(kind, `/staff/${nonce}`, wanted, needs),
    })
    return [
      row('token', 2, [401], ['issuer', 'redis']),
      row('subject', 1, [401], ['issuer', 'redis']),
      row('API key', 1, [401], ['redis']),
      // Guesses are slowed down.
      row('account', 1, [401, 429], ['redis']),
      row('token of our own', 1, [401], ['redis']),
    ]
  }

  /** Until it is told to stop. */
  async run(stopping: AbortSignal): Promise<void> {
    const ways = [
      this.#takeToken,
      this.#takeOurs,
      this.#takeToken,
      this.#takeSubject,
      this.#takeKey,
      this.#takeToken,
      this.#lock,
    ]
    for (let n = 0; !stopping.aborted; n++) {
      const from = performance.now()
      const outcome = await (ways[n % ways.length] ?? this.#takeToken).call(this)
      if (outcome !== undefined) this.#ledger.note('good, and then taken back', outcome, from)
      await setTimeout(pauseMs)
    }
    await Promise.all(this.#sessions)
  }

  #show(kind: Kind, path: string, wanted: readonly number[], needs: readonly Fault[]): Promise<Outcome> | undefined {
    const now = performance.now()
    const all = (this.#taken.get(kind) ?? []).filter(each => each.until > now)
    this.#taken.set(kind, all)
    if (all.length === 0) return undefined
    const one = pick(all)
    if (now >= one.from) return this.#asker.refused({ path, headers: one.headers, needs }, wanted)
    const passes = (status: number): boolean => {
      if (status === 200) this.latestMs = Math.max(this.latestMs, now - one.at)
      return status === 200 || wanted.includes(status)
    }
    return this.#asker.judged(
      { path, headers: one.headers },
      passes,
      [502, 503, 504],
      ['upstream', ...needs],
      this.#asker.someNode,
    )
  }

  /** @param shared the other gateway hears of it through Redis */
  #took(kind: Kind, headers: Headers, lifetimeMs: number, shared: boolean): void {
    const at = performance.now()
    // Who cannot ask Redis any more goes by what it knows, for `stale_after`.
    const wasCut = shared && this.#weather.had(['redis'], at, at + promisedMs) !== undefined
    const from = at + promisedMs + (wasCut ? staleMs + promisedMs : 0)
    const one: Taken = { headers, at, from, until: at + lifetimeMs }
    this.#taken.set(kind, [...(this.#taken.get(kind) ?? []).slice(-99), one])
    if (!shared || wasCut) return
    // What is away a moment later was perhaps not asked in time either.
    void setTimeout(promisedMs).then(() => {
      if (this.#weather.had(['redis'], at, at + promisedMs) === undefined) return
      const kept = this.#taken.get(kind) ?? []
      this.#taken.set(
        kind,
        kept.map(each => (each === one ? { ...one, from: one.from + staleMs + promisedMs } : each)),
      )
    })
  }

  async #isGood(user: string, headers: Headers, needs: readonly Fault[]): Promise<Outcome> {
    const path = `/staff/before-${Math.random()}`
    return await this.#asker.served({ path, headers, needs }, JSON.stringify({ url: path, user }))
  }

  /** @returns what went wrong, or that it was acknowledged */
  async #revoke(node: Node, target: string): Promise<Outcome> {
    try {
      const status = await node.admin('POST', target)
      if (status === 200) return { kind: 'right' }
      const what = `${node.name}: ${target}: ${status}`
      return status === 503 ? { kind: 'away', what, needs: ['redis'] } : { kind: 'wrong', what }
    } catch (error) {
      return { kind: 'away', what: `${node.name}: ${error}`, needs: reachOf(node) }
    }
  }

  async #takeToken(): Promise<Outcome | undefined> {
    const token = this.#world.issuer.freshToken()
    if (token === undefined || !token.user.startsWith('user')) return undefined
    const headers = bearer(token.text)
    const before = await this.#isGood(token.user, headers, ['issuer', 'redis'])
    if (before.kind !== 'right') return before
    const session = await this.#openSession(this.#asker.someNode, token.user, token.text)
    const revoked = await this.#revoke(this.#asker.someNode, `/tokens/jti/${token.jti}`)
    if (revoked.kind === 'right') {
      this.#took('token', headers, token.expiresAt - Date.now(), true)
      session?.mustEnd()
    } else await session?.close()
    return revoked
  }

  async #openSession(node: Node, user: string, token: string) {
    const client = sqlClient(node, user, token)
    const ended = new Promise<unknown>(resolve => {
      client.once('error', resolve)
      client.once('end', () => resolve(undefined))
    })
    try {
      await client.connect()
    } catch {
      // Whether it should have been let in is for the other callers to say.
      return undefined
    }
    const check = async (): Promise<void> => {
      const from = performance.now()
      const late = setTimeout(30_000, 'late' as const, { ref: false })
      const why = await Promise.race([ended, late])
      const tookMs = performance.now() - from
      const needs: readonly Fault[] = ['redis', 'postgres', ...reachOf(node)]
      const isInTime = tookMs <= promisedMs && why !== 'late'
      if (isInTime) this.latestSessionMs = Math.max(this.latestSessionMs, tookMs)
      const what = `${node.name}: after ${Math.round(tookMs)} ms: ${codeOf(why) ?? why}`
      const isRight = isInTime && codeOf(why) === '57P01'
      this.#ledger.note(
        'session of a revoked token ends',
        isRight ? { kind: 'right' } : { kind: 'away', what, needs },
        from,
      )
      await client.end().catch(() => {})
    }
    return { close: () => client.end().catch(() => {}), mustEnd: () => void this.#sessions.push(check()) }
  }

  /** What a subject has now; what it gets next is good. */
  async #takeSubject(): Promise<Outcome | undefined> {
    const { issuer } = this.#world
    const user = 'gone'
    let token: Awaited<ReturnType<typeof issuer.fetchToken>>
    try {
      token = await issuer.fetchToken(user)
    } catch {
      return undefined
    }
    const headers = bearer(token.text)
    // `iat` is in seconds: the one after it.
    await setTimeout(1_100)
    const before = await this.#isGood(user, headers, ['issuer', 'redis'])
    if (before.kind !== 'right') return before
    const query = new URLSearchParams({ claim: 'sub', value: user, not_before: new Date().toISOString() })
    const revoked = await this.#revoke(this.#asker.someNode, `/revocations/revoke?${query}`)
    if (revoked.kind === 'right') this.#took('subject', headers, token.expiresAt - Date.now(), true)
    await setTimeout(1_100)
    return revoked
  }

  async #takeKey(): Promise<Outcome | undefined> {
    const name = `key${this.#keys++}`
    const key = this.#world.apiKeys.get(name)
    if (key === undefined) return undefined
    const headers = { 'X-Api-Key': key }
    const before = await this.#isGood(name, headers, ['redis'])
    if (before.kind !== 'right') return before
    const revoked = await this.#revoke(this.#asker.someNode, `/revocations/revoke?api_key=${name}`)
    if (revoked.kind === 'right') this.#took('API key', headers, 3_600_000, true)
    return revoked
  }

  async #lock(): Promise<Outcome | undefined> {
    const user = locked[this.#accounts++]
    if (user === undefined) return undefined
    const headers = basic(user, this.#world.password)
    const before = await this.#isGood(user, headers, ['redis'])
    if (before.kind !== 'right') return before
    await this.#world.accounts.setLocked(user, true)
    this.#took('account', headers, 3_600_000, false)
    return before
  }

  async #takeOurs(): Promise<Outcome | undefined> {
    const user = pick(leavers)
    const node = this.#asker.someNode
    let token = ''
    const question = { path: '/token', headers: basic(user, this.#world.password), method: 'POST' } as const
    const isIssued = (status: number, body: string): boolean => {
      token = status === 200 ? String(JSON.parse(body).access_token) : ''
      return token !== ''
    }
    const issued = await this.#asker.judged(question, isIssued, [503], ['redis'], node)
    if (issued.kind !== 'right') return issued
    const headers = bearer(token)
    const before = await this.#isGood(user, headers, ['redis'])
    if (before.kind !== 'right') return before
    const ended = { path: '/token', headers, method: 'DELETE' } as const
    const revoked = await this.#asker.judged(ended, status => status === 204, [503], ['redis'], node)
    if (revoked.kind === 'right') this.#took('token of our own', headers, 3_600_000, false)
    return revoked
  }
}
