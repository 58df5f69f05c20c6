import { PostgresError } from '../failure.ts'
import { isReadAlike } from '../sql/settings.ts'

/** Settings that PostgreSQL reports of itself, as a client knows them. */
export class ReportedParameters {
  /** Of the connection that the session works on. */
  #current: Map<string, string> | undefined
  readonly #known = new Map<string, string>()
  /** What the session began with. */
  #begun: ReadonlyMap<string, string> | undefined
  /** What the connection began with. */
  #connection: ReadonlyMap<string, string> | undefined
  /** RESET ALL or DISCARD ALL was carried out: for the session that leads back to what it began with, whatever the connection did. */
  isReset = false

  /** The session works on another connection. @param connection what that began with @returns what the client has to be told */
  learn(
    current: Map<string, string>,
    connection?: ReadonlyMap<string, string>,
  ): readonly (readonly [name: string, value: string])[] {
    this.#current = current
    this.#connection = connection
    this.#begun ??= new Map(current)
    const news = [...current].filter(([name, value]) => this.#known.get(name) !== value)
    for (const [name, value] of news) this.#known.set(name, value)
    return news
  }

  /**
   * The server reports a change.
   *
   * @param body of ParameterStatus
   * @returns what the client hears of it
   * @throws {PostgresError} `postgres.encoding` when the server reads statement texts differently than we do from here on
   */
  report(body: string): 'the same' | 'nothing' | readonly [name: string, value: string] {
    const [name = '', value = ''] = body.split('\0')
    if (!isReadAlike(name, value)) throw new PostgresError('postgres.encoding', `${name} was changed`)
    if (this.#current === undefined) return 'the same'
    this.#current.set(name, value)
    const isBack = this.isReset && value === this.#connection?.get(name)
    const told = (isBack ? this.#begun?.get(name) : undefined) ?? value
    const isNews = told !== this.#known.get(name)
    this.#known.set(name, told)
    if (!isNews) return 'nothing'
    return told === value ? 'the same' : [name, told]
  }
}
