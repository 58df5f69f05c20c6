import { PostgresError } from '../failure.ts'
import { isReadAlike } from '../sql/settings.ts'

/** Settings that PostgreSQL reports of itself, as a client knows them. */
export class ReportedParameters {
  /** Of the connection that the session works on. */
  #current: Map<string, string> | undefined
  readonly #known = new Map<string, string>()

  /** The session works on another connection. @returns what the client has to be told */
  learn(current: Map<string, string>): readonly (readonly [name: string, value: string])[] {
    this.#current = current
    const news = [...current].filter(([name, value]) => this.#known.get(name) !== value)
    for (const [name, value] of news) this.#known.set(name, value)
    return news
  }

  /**
   * The server reports a change, and the client hears of it.
   *
   * @param body of ParameterStatus
   * @throws {PostgresError} `postgres.encoding` when the server reads statement texts differently than we do from here on
   */
  report(body: string): void {
    const [name = '', value = ''] = body.split('\0')
    if (!isReadAlike(name, value)) throw new PostgresError('postgres.encoding', `${name} was changed`)
    if (this.#current === undefined) return
    this.#current.set(name, value)
    this.#known.set(name, value)
  }
}
