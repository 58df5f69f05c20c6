import type { Socket } from 'node:net'
import { ByteInput } from '../byte-input.ts'
import { cancelUpstream, type Upstream } from '../upstream.ts'
import { UpstreamRefusal } from '../upstream-login.ts'
import { MessageBuilder } from '../wire/builder.ts'
import { back } from '../wire/message.ts'
import { isInPlace, type Profile, profileStatements, resetStatement } from './profile.ts'
import { runStatements } from './questions.ts'
import { ServerStatements } from './server-statements.ts'

/** What a session has left on its connection. */
export type Leftover =
  /** Nothing that another session with an equal profile could notice. */
  | 'nothing'
  /** Perhaps something: all is taken off before anybody else gets it. */
  | 'state'
  /** Nobody else may have it. */
  | 'unfit'

/** A connection to PostgreSQL that sessions have one after the other. */
export class PooledConnection {
  readonly upstream: Upstream
  readonly key: string
  /** `performance.now()` */
  readonly openedAt = performance.now()
  /** Reported settings as they are now. */
  readonly parameters: Map<string, string>
  readonly statements = new ServerStatements()
  /** Whose profile is in place; `undefined`: none since it was opened or reset. */
  profile: string | undefined
  /** It must be closed when nobody works on it any more. */
  isDoubtful = false
  readonly #cancels = new Set<Promise<void>>()
  readonly #asksStanding: boolean

  constructor(upstream: Upstream, key: string, asksStanding: boolean) {
    this.upstream = upstream
    this.key = key
    this.parameters = new Map(upstream.parameters)
    this.#asksStanding = asksStanding
  }

  get socket(): Socket {
    return this.upstream.socket
  }

  /** Reported settings as they are now, for a client that begins. */
  get greeting(): Buffer {
    return parameterStatuses(this.parameters)
  }

  /** Cancels what runs. Nobody else gets the connection before the server has heard of it. */
  cancel(): Promise<void> {
    const { target, processId, key } = this.upstream
    const done = cancelUpstream(target, processId, key).then(isCertain => {
      // It may still be under way, and would hit whoever comes next.
      if (!isCertain) this.isDoubtful = true
      this.#cancels.delete(done)
    })
    this.#cancels.add(done)
    return done
  }

  get isBeingCancelled(): boolean {
    return this.#cancels.size > 0
  }

  /** @throws whatever keeps it from being clean: it must be closed then */
  async reset(): Promise<void> {
    await Promise.all(this.#cancels)
    await this.#run([resetStatement])
    this.profile = undefined
    this.statements.clear()
  }

  /**
   * Puts a profile in place, in one round trip; what another one has left there is taken off before.
   *
   * @returns whether it is; otherwise it must be closed
   * @throws {UpstreamRefusal} when the server refuses the profile
   */
  async prepare(profile: Profile): Promise<boolean> {
    const isUsed = this.profile !== undefined
    const wanted = profileStatements(profile, this.#asksStanding)
    try {
      const answers = await this.#run(isUsed ? [resetStatement, ...wanted] : wanted)
      if (isUsed) this.statements.clear()
      this.profile = profile.id
      return this.#isReadable && isInPlace(profile, this.#asksStanding, isUsed ? answers.slice(1) : answers)
    } catch (cause) {
      this.socket.destroy()
      const isRefused = cause instanceof UpstreamRefusal && cause.fields.get('V') === 'ERROR'
      if (!isRefused) return false
      cause.fields.set('S', 'FATAL').set('V', 'FATAL')
      throw cause
    }
  }

  /** Statements are read as we read them. */
  get #isReadable(): boolean {
    const { parameters } = this
    return parameters.get('client_encoding') === 'UTF8' && parameters.get('standard_conforming_strings') === 'on'
  }

  async #run(statements: readonly string[]): ReturnType<typeof runStatements> {
    const { socket } = this
    const timer = setTimeout(() => socket.destroy(), this.upstream.target.connectTimeoutMs)
    const input = new ByteInput(socket)
    socket.resume()
    try {
      return await runStatements(input, statements, (name, value) => this.parameters.set(name, value))
    } finally {
      clearTimeout(timer)
      input.release()
    }
  }
}

/** ParameterStatus messages. */
export function parameterStatuses(parameters: Iterable<readonly [name: string, value: string]>): Buffer {
  const message = new MessageBuilder()
  for (const [name, value] of parameters) message.begin(back.parameterStatus).cstring(name).cstring(value).end()
  return message.take()
}
