import { setTimeout } from 'node:timers/promises'
import type pg from 'pg'
import { codeOf, reachOf, sqlClient } from './ask.ts'
import type { Fault, Ledger, Outcome } from './ledger.ts'
import { canary, type Node, type Person, type SoakWorld } from './world.ts'

const half = 20
const patienceMs = 15_000

/** Of one session: what it does before, and what it has to find after. */
interface Way {
  readonly name: string
  begin(client: pg.Client, tag: string): Promise<unknown>
  /** @returns what is wrong */
  goOn(client: pg.Client, tag: string, begun: unknown): Promise<string | undefined>
  /** What PostgreSQL has at the end, asked straight. @param lost the session was */
  after?(tag: string, lost: boolean): Promise<string | undefined>
}

/** Sessions at both gateways that are in the middle of something while a fault comes and goes. */
export class HeldSessions {
  readonly #world: SoakWorld
  readonly #ledger: Ledger
  readonly #ways: readonly Way[]
  #rounds = 0

  constructor(world: SoakWorld, ledger: Ledger) {
    this.#world = world
    this.#ledger = ledger
    this.#ways = waysOf(world)
    ledger.expect(...this.#ways.map(({ name }) => `held: ${name}`))
  }

  /** Opens them all. @returns goes on with each, when the fault is over, and judges it. @param fault which will come */
  async begin(fault: Fault): Promise<() => Promise<void>> {
    const round = ++this.#rounds
    const held = this.#world.nodes.flatMap((node, at) =>
      this.#ways.map(way => this.#hold(node, way, `r${round}-${at}-${way.name}`, fault)),
    )
    const sessions = await Promise.all(held)
    return async () => {
      await Promise.all(sessions.map(finish => finish()))
    }
  }

  async #hold(node: Node, way: Way, tag: string, fault: Fault): Promise<() => Promise<void>> {
    const from = performance.now()
    const client = sqlClient(node, 'holder', this.#world.password, 'scram')
    const judged = async (lost: boolean, outcome: Outcome): Promise<void> => {
      await client.end().catch(() => {})
      const wrong = await way.after?.(tag, lost)
      const what = `${node.name}, ${tag}, through ${fault}: ${wrong}`
      this.#ledger.note(`held: ${way.name}`, wrong === undefined ? outcome : { kind: 'wrong', what }, from)
    }
    let begun: unknown
    try {
      await client.connect()
      begun = await way.begin(client, tag)
    } catch (error) {
      return () => judged(true, { kind: 'wrong', what: `${node.name}, ${tag}: not begun: ${error}` })
    }
    return async () => {
      try {
        const late = setTimeout(patienceMs, 'no answer', { ref: false })
        const wrong = await Promise.race([way.goOn(client, tag, begun), late])
        await judged(
          false,
          wrong === undefined ? { kind: 'right' } : { kind: 'wrong', what: `${node.name}, ${tag}: ${wrong}` },
        )
      } catch (error) {
        // A session is lost with PostgreSQL, or with its gateway, and with nothing else.
        const what = `${node.name}, ${tag}, through ${fault}: ${codeOf(error)} ${error}`
        await judged(true, { kind: 'away', what, needs: ['postgres', ...reachOf(node)] })
      }
    }
  }
}

const masked = ({ email }: Person): string => `p****${email.slice(email.indexOf('@'))}`

function waysOf({ people, direct }: SoakWorld): readonly Way[] {
  const isMasked = (rows: readonly Record<string, unknown>[], from: number): string | undefined => {
    const got = JSON.stringify(rows)
    if (got.includes(canary)) return `in clear: ${got}`
    const wanted = people.slice(from, from + rows.length).map(person => ({ id: person.id, email: masked(person) }))
    return rows.length > 0 && got === JSON.stringify(wanted) ? undefined : got
  }
  const notes = async (tag: string): Promise<number> =>
    Number((await direct('select count(*) as count from notes where tag = $1', [tag]))[0]?.['count'])
  const expectNotes = async (tag: string, wanted: number): Promise<string | undefined> => {
    const count = await notes(tag)
    return count === wanted ? undefined : `${count} rows where there should be ${wanted}`
  }
  const insert = (client: pg.Client, tag: string) => client.query('insert into notes (tag) values ($1)', [tag])
  const person = { name: 'person', text: 'select id, email from people where id = $1' }
  return [
    {
      name: 'idle in a transaction',
      async begin(client, tag) {
        await client.query('begin')
        await insert(client, tag)
      },
      async goOn(client, tag) {
        const { rows } = await client.query('select count(*) as count from notes where tag = $1', [tag])
        await client.query('commit')
        return rows[0].count === '1' ? undefined : JSON.stringify(rows)
      },
      // What was not committed is not there, and what was is, whoever was killed.
      after: (tag, lost) => expectNotes(tag, lost ? 0 : 1),
    },
    {
      name: 'what was committed before',
      begin: insert,
      goOn: async client => ((await client.query('select 1 as one')).rows[0].one === 1 ? undefined : 'no row'),
      after: tag => expectNotes(tag, 1),
    },
    {
      name: 'a cursor that is half read',
      async begin(client) {
        await client.query('begin')
        await client.query('declare half cursor for select id, email from people order by id')
        return isMasked((await client.query(`fetch ${half} from half`)).rows, 0)
      },
      async goOn(client, _tag, begun) {
        const { rows } = await client.query('fetch all from half')
        const wrong = begun ?? isMasked(rows, half)
        return rows.length === people.length - half ? (wrong as string | undefined) : `${rows.length} rows`
      },
    },
    {
      name: 'LISTEN',
      async begin(client, tag) {
        const heard = new Promise<string | undefined>(resolve =>
          client.on('notification', note => resolve(note.payload)),
        )
        await client.query(`listen "${tag}"`)
        return { heard }
      },
      async goOn(client, tag, begun) {
        // Only where the session is still there is there somebody to hear it.
        await client.query('select 1')
        await direct('select pg_notify($1, $2)', [tag, tag])
        const payload = await (begun as { heard: Promise<string | undefined> }).heard
        return payload === tag ? undefined : `heard ${payload}`
      },
    },
    {
      name: 'a prepared statement',
      begin: async client => isMasked((await client.query({ ...person, values: [7] })).rows, 7),
      async goOn(client, _tag, begun) {
        const { rows } = await client.query({ ...person, values: [9] })
        return (begun as string | undefined) ?? isMasked(rows, 9)
      },
    },
    {
      name: 'a statement that runs',
      // Begun and not waited for: it runs while the fault is there.
      begin: async (client, tag) => {
        const running = client.query('select $1::text as tag, id, email from people, pg_sleep(8) order by id', [tag])
        running.catch(() => {})
        return { running }
      },
      async goOn(_client, tag, begun) {
        const { rows } = await (begun as { running: Promise<pg.QueryResult> }).running
        if (rows.some(row => row.tag !== tag)) return JSON.stringify(rows)
        return isMasked(
          rows.map(({ id, email }) => ({ id, email })),
          0,
        )
      },
    },
  ]
}
