import { Client, type ClientConfig, escapeIdentifier, escapeLiteral } from 'pg'

// The demo's table: made by the owner of the database, filled through the gateway's door, which seals.

/** A login at PostgreSQL itself. */
export interface Login {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

/** Makes the table and the two logins that use it: the gateway's and the shop API's. Does no harm a second time. */
export async function prepareDatabase(owner: Login, passwords: Readonly<Record<string, string>>): Promise<void> {
  const { schema } = await import('@bawn/demo/shop')
  await connected(owner, async client => {
    await client.query(schema)
    for (const [role, password] of Object.entries(passwords)) {
      const found = await client.query('select from pg_roles where rolname = $1', [role])
      const verb = found.rowCount === 0 ? 'create' : 'alter'
      await client.query(`${verb} role ${escapeIdentifier(role)} login password ${escapeLiteral(password)}`)
      await client.query(`grant select, insert, update, delete on people to ${escapeIdentifier(role)}`)
      await client.query(`grant all on sequence people_id_seq to ${escapeIdentifier(role)}`)
    }
  })
}

export interface FillOptions {
  /** A login at PostgreSQL itself: what an app with the public key alone writes, goes in here. */
  readonly straight: Login
  /** A login at the gateway's door that sees the field plain. */
  readonly door: ClientConfig
  readonly seal: (plaintext: Uint8Array) => Uint8Array
}

const total = 1000
const sealedByApp = 10
const batch = 99

/** Fills an empty table: 990 people through the door, in clear on the way there; the last ten sealed by the writer. */
export async function fillTable({ straight, door, seal }: FillOptions): Promise<void> {
  const { makePeople } = await import('@bawn/demo/people')
  const people = makePeople(total)
  await connected(door, async client => {
    const { rows } = await client.query<{ count: string }>('select count(*) from people')
    if (Number(rows[0]?.count) >= total) return
    // A start that broke off half-way left some: begin anew.
    await client.query('delete from people')
    for (let start = 0; start < total - sealedByApp; start += batch) {
      const some = people.slice(start, Math.min(start + batch, total - sealedByApp))
      const tuples = some.map(
        (_, index) => `($${index * 4 + 1}, $${index * 4 + 2}, $${index * 4 + 3}, $${index * 4 + 4})`,
      )
      const values = some.flatMap((person, index) => [start + index + 1, person.name, person.city, person.email])
      await client.query(`insert into people (id, name, city, email) values ${tuples.join(', ')}`, values)
    }
  })
  await connected(straight, async client => {
    for (let index = total - sealedByApp; index < total; index++) {
      const person = people[index]
      if (person === undefined) continue
      await client.query('insert into people (id, name, city, email) values ($1, $2, $3, $4) on conflict do nothing', [
        index + 1,
        person.name,
        person.city,
        Buffer.from(seal(Buffer.from(person.email))),
      ])
    }
    await client.query("select setval(pg_get_serial_sequence('people', 'id'), (select max(id) from people))")
  })
}

/** Connects, works, and hangs up whatever happened. */
async function connected(config: ClientConfig, work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(config)
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
