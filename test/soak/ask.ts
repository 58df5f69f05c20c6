import assert from 'node:assert/strict'
import pg from 'pg'
import type { Answers } from './answers.ts'
import { Connections, protocols, type Request } from './connections.ts'
import type { Fault, Outcome } from './ledger.ts'
import { canary, type Node, type SoakWorld } from './world.ts'

// Questions at both doors, and what their answers are worth.

export type Headers = Readonly<Record<string, string>>

export const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` })
export const basic = (user: string, password: string): Headers => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
})

export interface Question {
  readonly path: string
  readonly headers: Headers
  readonly method?: 'GET' | 'POST' | 'DELETE'
  /** What may be away, so that nobody can decide: then 503 is an answer, or none. */
  readonly needs: readonly Fault[]
}

export class Asker {
  readonly #nodes: SoakWorld['nodes']
  readonly #answers: Answers
  readonly #connections: Connections
  /** By request id, what was answered: the trails have to say the same. */
  readonly answered = new Map<string, { readonly node: string; readonly status: number }>()

  constructor({ nodes, ca }: Pick<SoakWorld, 'nodes' | 'ca'>, answers: Answers, connections: number) {
    this.#nodes = nodes
    this.#answers = answers
    this.#connections = new Connections(ca, connections)
  }

  close(): void {
    this.#connections.close()
  }

  get someNode(): Node {
    return this.#nodes[Math.random() < 0.5 ? 0 : 1]
  }

  /** Who gets what they asked for, and exactly that. Where something is away, 502 and 504 are answers as well. */
  served({ needs, ...question }: Question, body: string, node = this.someNode): Promise<Outcome> {
    const isServed = (status: number, got: string): boolean => status === 200 && got === body
    return this.judged(question, isServed, [502, 503, 504], ['upstream', ...needs], node)
  }

  /** Who gets nothing: 502 would say that the upstream was to be asked. */
  refused({ needs, ...question }: Question, wanted: readonly number[], node = this.someNode): Promise<Outcome> {
    return this.judged(question, status => wanted.includes(status), [503], needs, node)
  }

  async judged(
    question: Omit<Question, 'needs'>,
    isRight: (status: number, body: string) => boolean,
    undecided: readonly number[],
    needs: readonly Fault[],
    node: Node,
  ): Promise<Outcome> {
    const reach = reachOf(node)
    try {
      const { protocol, status, body } = await this.#ask(node, question)
      if (isRight(status, body)) return { kind: 'right' }
      const what = `${node.name}: ${protocol}: ${status} ${body.slice(0, 300)}`
      // Whatever is away: a value that is not theirs is nobody's excuse.
      const isAway = undecided.includes(status) && !body.includes(canary)
      return isAway ? { kind: 'away', what, needs: [...needs, ...reach] } : { kind: 'wrong', what }
    } catch (error) {
      return { kind: 'away', what: `${node.name}: ${error}`, needs: reach }
    }
  }

  /** In any of the ways that there are. */
  async #ask(node: Node, { path, headers, method = 'GET' }: Omit<Question, 'needs'>) {
    const protocol = pick(protocols)
    const from = performance.now()
    const question: Request = { path, headers, method }
    try {
      const port = protocol === 'HTTP/1.1' ? node.webPort : node.securePort
      const { status, requestId, body } = await this.#connections.ask(protocol, port, question)
      this.answered.set(requestId, { node: node.name, status })
      this.#answers.note(protocol, String(status), from)
      return { protocol, status, body }
    } catch (error) {
      this.#answers.note(protocol, failureOf(error), from)
      throw new Error(`${protocol}: ${error}`, { cause: error })
    }
  }

  /** One session, one question. @param judge of its rows; where there should be no session, `undefined` */
  async sql(
    login: { readonly user: string; readonly token: string },
    query: { readonly text: string; readonly values: readonly unknown[] },
    judge: ((rows: readonly Record<string, unknown>[]) => boolean) | undefined,
  ): Promise<Outcome> {
    const node = this.someNode
    const client = sqlClient(node, login.user, login.token)
    const from = performance.now()
    try {
      await client.connect()
      if (judge === undefined) {
        this.#answers.note('PostgreSQL', 'a session', from)
        return { kind: 'wrong', what: `${node.name}: a session` }
      }
      const { rows } = await client.query(query.text, [...query.values])
      this.#answers.note('PostgreSQL', 'rows', from)
      return judge(rows) ? { kind: 'right' } : { kind: 'wrong', what: `${node.name}: ${JSON.stringify(rows)}` }
    } catch (error) {
      this.#answers.note('PostgreSQL', failureOf(error), from)
      if (judge === undefined && ['28P01', '42501'].includes(codeOf(error) ?? '')) return { kind: 'right' }
      // Who is refused is refused before PostgreSQL is asked for anything.
      return sqlFailure(node, error, judge === undefined ? ['issuer', 'redis'] : ['issuer', 'redis', 'postgres'])
    } finally {
      await client.end().catch(() => {})
    }
  }
}

/** A code, where there is one: of the system, or of PostgreSQL. */
const failureOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && error.code !== undefined
    ? String(error.code)
    : error instanceof Error
      ? error.message
      : String(error)

/** What may be away so that nobody answers there at all. */
export function reachOf(node: Node): readonly Fault[] {
  return node.name === 'second' ? ['second gateway'] : []
}

/** A client of PostgreSQL at a door. @param mechanism `scram` where it is not a token */
export function sqlClient(node: Node, user: string, password: string, mechanism: 'jwt' | 'scram' = 'jwt'): pg.Client {
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port: node.sqlPort, database: 'shop', user, password, connectionTimeoutMillis: 30_000 },
    ...(mechanism === 'jwt' ? { options: '-c bawn.login=jwt' } : {}),
  })
  client.on('error', () => {})
  return client
}

export const codeOf = (error: unknown): string | undefined =>
  error instanceof pg.DatabaseError ? error.code : undefined

/** What a failure of PostgreSQL's is: away where nobody could decide, or the session was lost. */
export function sqlFailure(node: Node, error: unknown, needs: readonly Fault[]): Outcome {
  const code = codeOf(error)
  const what = `${node.name}: ${code} ${error}`
  if (code === undefined) return { kind: 'away', what, needs: ['postgres', ...reachOf(node)] }
  return /^(?:57P0[1-3]|08)/.test(code)
    ? { kind: 'away', what, needs: [...needs, ...reachOf(node)] }
    : { kind: 'wrong', what }
}

export function pick<T>(of: readonly T[]): T {
  return of[Math.floor(Math.random() * of.length)] ?? assert.fail('nothing to choose from')
}
