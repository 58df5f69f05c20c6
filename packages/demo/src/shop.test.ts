import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { makePeople } from './people.ts'
import { type Postgres, startPostgres } from './postgres.ts'
import { type Shop, schema, startShop } from './shop.ts'

let postgres: Postgres
let shop: Shop
before(async () => {
  postgres = await startPostgres({ database: 'shop' })
  const { host, port, user, password, database } = postgres
  const client = new pg.Client({ host, port, user, password, database })
  await client.connect()
  await client.query(schema)
  for (const [index, person] of makePeople(3).entries()) {
    const values = [person.name, person.city, index === 2 ? null : Buffer.from([0xff, index])]
    await client.query('insert into people (name, city, email) values ($1, $2, $3)', values)
  }
  await client.end()
  shop = await startShop({ database: postgres })
})
after(async () => {
  await shop.close()
  await postgres.stop()
})

async function ask(path: string, body?: unknown): Promise<readonly [number, unknown]> {
  const init =
    body === undefined ? {} : { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) }
  const answer = await fetch(shop.url + path, init)
  return [answer.status, await answer.json()]
}

const aoife = { id: 1, name: 'Aoife Ahern', city: 'Athlone', email: '/wA=' }

test('lists people with the stored bytes as base64, and null for none', async () => {
  const [status, body] = await ask('/people')
  assert.equal(status, 200)
  assert.deepEqual(body, {
    people: [
      aoife,
      { id: 2, name: 'Hugh Daly', city: 'Dingle', email: '/wE=' },
      { id: 3, name: 'Orla Geary', city: 'Kinsale', email: null },
    ],
  })
  assert.deepEqual(await ask('/people?limit=1'), [200, { people: [aoife] }])
})

test('finds one person, or none', async () => {
  assert.deepEqual(await ask('/people/1'), [200, aoife])
  assert.deepEqual(await ask('/people/99'), [404, { error: 'not found' }])
  assert.deepEqual(await ask('/elsewhere'), [404, { error: 'not found' }])
})

test('stores the bytes it is sent as base64, and nothing else', async () => {
  const ida = { name: 'Ida', city: 'Ennis', email: '/wM=' }
  assert.deepEqual(await ask('/people', ida), [201, { id: 4, ...ida }])
  const bad = ['{', '[]', { name: 1 }, { ...ida, email: 'ida@example.com' }, 'x'.repeat(70_000)]
  for (const body of bad) assert.equal((await ask('/people', body))[0], 400)
})

test('the made-up people are the same each time and share no address', () => {
  const people = makePeople(1000)
  assert.equal(new Set(people.map(person => person.email)).size, 1000)
  assert.deepEqual(people[999], makePeople(1000)[999])
})
