import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { freePort } from '@bawn/demo/listen'
import type { OpenIdKeys, Person } from '@bawn/demo/openid'
import { type Part, startOwnPart } from './processes.ts'

/** What the provider's process reads. */
export interface IssuerFile {
  readonly people: readonly Person[]
  readonly keys: OpenIdKeys
  readonly tokenLifetimeSeconds: number
}

/** A token that the provider has given out. Times in ms since 1970. */
export interface HeldToken {
  readonly text: string
  readonly user: string
  readonly jti: string
  readonly expiresAt: number
  readonly kid: string
}

export const tokenLifetimeMs = 40_000
/** Before its end, so that an outage of the provider is over in time. */
const renewMs = 22_000
/** Of a good token: no answer of a busy machine takes that long. */
const goodForMs = 10_000
/** How long a new key is published before it signs: every gateway has fetched it by then. */
const announcedMs = 5_000
/** When a key was taken back, everybody has seen it after this: gateways ask each second, when somebody needs the keys. */
export const withdrawnAfterMs = 3_000

export interface Issuer {
  readonly part: Part
  readonly url: string
  /** One that is good and stays so for a while, or `undefined` where the provider could not give one in time. */
  tokenOf(user: string): HeldToken | undefined
  /** One that nobody has shown yet. */
  freshToken(): HeldToken | undefined
  /** Asks for one now. */
  fetchToken(user: string): Promise<HeldToken>
  /** One that has run out. */
  expiredToken(): HeldToken | undefined
  /** One whose end has not come, but whose key was taken back. */
  withdrawnToken(): HeldToken | undefined
  /** One that the provider never gave: of another key that says it is the provider's, or of one that nobody has; or for another audience. */
  forge(how: 'forged' | 'unknown key' | 'other audience', user: string): string
  /** How many it has given out. */
  given(): number
  /** Another key is published, then signs; then the one before is taken back while tokens of it run. */
  rotate(): Promise<void>
  stop(): Promise<void>
}

interface Key {
  readonly kid: string
  readonly privateKey: KeyObject
}

/** A real OpenID provider in a process of its own, and whoever asks it for tokens. */
export async function startIssuer(
  folder: string,
  people: readonly { readonly id: string; readonly roles: readonly string[] }[],
): Promise<Issuer> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const persons = people.map(person => ({ ...person, secret: randomBytes(18).toString('base64url') }))
  const path = join(folder, 'issuer.json')
  const createKey = (n: number): Key => {
    return { kid: `key-${n}`, privateKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }
  }
  let rotations = 0
  let given = 0
  let current = createKey(0)
  const write = (keys: readonly Key[], signing: Key): void => {
    const jwks = keys.map(({ kid, privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), kid }))
    const file: IssuerFile = {
      people: persons,
      keys: { jwks, signing: signing.kid },
      tokenLifetimeSeconds: tokenLifetimeMs / 1_000,
    }
    writeFileSync(path, JSON.stringify(file), { mode: 0o600 })
  }
  write([current], current)
  const part = await startOwnPart(folder, 'issuer', String(port), path)

  const held = new Map<string, HeldToken>()
  let fresh: HeldToken[] = []
  let expired: HeldToken[] = []
  let withdrawn: HeldToken[] = []
  /** Keys whose tokens nobody shows as good ones any more. */
  const leaving = new Set<string>()

  const fetchToken = async (user: string): Promise<HeldToken> => {
    const person = persons.find(one => one.id === user) ?? assert.fail(user)
    const answer = await fetch(`${url}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${user}:${person.secret}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
      signal: AbortSignal.timeout(5_000),
    })
    const { access_token: text } = (await answer.json()) as { access_token: string }
    const part = (at: number): Record<string, unknown> =>
      JSON.parse(Buffer.from(text.split('.')[at] ?? '', 'base64url').toString())
    const { jti, exp } = part(1)
    given++
    return { text, user, jti: String(jti), expiresAt: Number(exp) * 1_000, kid: String(part(0)['kid']) }
  }
  const isGood = (token: HeldToken): boolean => token.expiresAt - Date.now() > goodForMs && !leaving.has(token.kid)

  const stopping = new AbortController()
  const renew = async (user: string): Promise<void> => {
    const before = held.get(user)
    const isDue = before === undefined || before.expiresAt - Date.now() < renewMs || leaving.has(before.kid)
    if (!isDue) return
    held.set(user, await fetchToken(user))
    if (before !== undefined && !leaving.has(before.kid)) expired = [...expired.slice(-49), before]
  }
  const work = (async () => {
    for (let at = 0; !stopping.signal.aborted; at++) {
      const user = persons[at % persons.length]?.id ?? ''
      try {
        await renew(user)
        fresh = fresh.filter(isGood)
        if (fresh.length < 40) fresh.push(await fetchToken(user))
      } catch {
        // It is away, as half of the time in this run.
      }
      await setTimeout(30)
    }
  })()
  const pick = (tokens: readonly HeldToken[]): HeldToken | undefined =>
    tokens[Math.floor(Math.random() * tokens.length)]

  await Promise.all(persons.map(({ id }) => renew(id)))
  const forger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  return {
    ...{ part, url, fetchToken },
    tokenOf(user) {
      const token = held.get(user)
      return token !== undefined && isGood(token) ? token : undefined
    },
    given: () => given,
    freshToken: () => fresh.splice(0, 1).find(isGood),
    expiredToken: () => pick(expired.filter(token => token.expiresAt < Date.now())),
    withdrawnToken: () => pick(withdrawn.filter(token => token.expiresAt > Date.now() + 1_000)),
    forge(how, user) {
      const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
      const now = Math.floor(Date.now() / 1_000)
      const claims = {
        iss: url,
        sub: user,
        iat: now,
        exp: now + 60,
        roles: ['staff'],
        jti: randomBytes(9).toString('hex'),
      }
      const kid = how === 'unknown key' ? 'nobody-has-it' : current.kid
      const audience = how === 'other audience' ? 'elsewhere' : 'shop'
      const input = `${encode({ alg: 'ES256', kid, typ: 'at+jwt' })}.${encode({ ...claims, aud: audience })}`
      const key = how === 'other audience' ? current.privateKey : forger
      const options = { key, dsaEncoding: 'ieee-p1363' } as const
      return `${input}.${sign('sha256', Buffer.from(input), options).toString('base64url')}`
    },
    async rotate() {
      const before = current
      const next = createKey(++rotations)
      const say = async (keys: readonly Key[], signing: Key): Promise<void> => {
        write(keys, signing)
        await part.hangUp(/keys exchanged/)
      }
      await say([before, next], before)
      await setTimeout(announcedMs)
      await say([next, before], next)
      current = next
      leaving.add(before.kid)
      const kept = [...held.values(), ...fresh].filter(token => token.kid === before.kid)
      for (const { id } of persons) await renew(id)
      await say([next], next)
      await setTimeout(withdrawnAfterMs)
      withdrawn = kept
    },
    async stop() {
      stopping.abort()
      await work
      await part.stop()
    },
  }
}
