import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { runBawn, startTestWorld, type TestWorld } from './world.ts'

// Grants as an operator works with them: the gateway runs, and the command line, another process, changes what may be done.

let world: TestWorld
before(async () => {
  world = await startTestWorld()
  const { place } = world
  const edited = place
    .read('bawn.yaml')
    .replace('    allow: [authenticated]\n\n# The API', '    allow: [connectors]\n\n# The API')
    .replace(
      'methods: [GET], upstream: shop, allow: [authenticated] }',
      'methods: [GET], upstream: shop, allow: [readers] }',
    )
    .replace('door: http, use: [jwt]', 'door: http, use: [jwt, basic]')
    .replace(
      'policies:\n',
      `grants: { accounts: staff }
policies:
  readers: { grant: DQL on table shop.public.people }
  connectors: { grant: DQL on schema shop.public }
`,
    )
  place.write('bawn.yaml', edited)
  const { status, output } = await bawn('reload')
  assert.equal(status, 0, output)
  assert.match(output, /grants changed/)
})
after(() => world?.remove())

const bawn = (...args: readonly string[]) => {
  const [noun = '', verb = '', ...rest] = args
  const command = noun === 'reload' ? [noun] : [noun, verb, ...rest]
  return runBawn(...command, '--config', world.place.path('bawn.yaml'))
}
async function accounts(...args: readonly string[]): Promise<void> {
  const { status, output } = await bawn('accounts', ...args)
  assert.equal(status, 0, output)
}

async function status(authorization: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${world.ports.web}/people`, { headers: { authorization } })
  await answer.body?.cancel()
  return answer.status
}
const bearer = (id: string) => `Bearer ${world.token(id)}`
const olga = () => `Basic ${Buffer.from(`olga:${world.place.read('olga.password').trim()}`).toString('base64')}`

/** What the gateway answers once it has seen a change of another process; the test's own time limit is the only one. */
async function becomes(authorization: string, wanted: number): Promise<void> {
  while ((await status(authorization)) !== wanted) await new Promise(resolve => setTimeout(resolve, 20))
}

const login = async () => {
  const { ssl, ...door } = world.billing
  const { user: _, ...rest } = door
  const client = new pg.Client({
    ...rest,
    ssl: { ca: typeof ssl === 'object' ? ssl.ca : undefined },
    user: 'olga',
    password: world.place.read('olga.password').trim(),
  })
  const ended = new Promise<Error>(resolve => client.on('error', resolve))
  await client.connect()
  return { client, ended }
}

test('nothing is granted at first; a role is granted something for whoever has it, and a user for that account alone', async () => {
  for (const who of [bearer('alice'), bearer('carol'), olga()]) assert.equal(await status(who), 403)
  const table = ['--schema', 'public', '--table', 'people']
  const before = await bawn('accounts', 'grant', 'support', 'DQL', ...table)
  assert.equal(before.status, 1)
  assert.match(before.output, /accounts\.not_found/)
  await accounts('create-role', 'support')
  await accounts('grant', 'support', 'DQL', ...table)
  // Alice has the role by a token of the provider, olga by her account.
  await becomes(bearer('alice'), 200)
  assert.equal(await status(olga()), 200)
  assert.equal(await status(bearer('carol')), 403)

  await accounts('deny', 'olga', 'DQL', ...table)
  await becomes(olga(), 403)
  assert.equal(await status(bearer('alice')), 200)
  const explained = await bawn('explain', 'grant', 'DQL', ...table, '--user', 'olga')
  assert.equal(explained.status, 1)
  assert.match(explained.output, /^refused: DENY DQL ON TABLE shop\.public\.people TO olga$/m)
  await accounts('revoke', 'olga', 'DQL', ...table)
  await becomes(olga(), 200)
})

test('the trail names the entry that permitted, and a refusal says nothing of entries', () => {
  const lines = readFileSync(world.place.path('data/audit.jsonl'), 'utf8').split('\n')
  const people = lines.filter(line => line.includes('"resource":"/people"'))
  assert(people.some(line => line.includes('"rule":"readers: GRANT DQL ON TABLE shop.public.people TO support"')))
  const denied = people.filter(line => line.includes('"decision":"deny"'))
  assert(denied.length > 0)
  for (const line of denied) assert.match(line, /"rule":"no policy of readers permits"/)
})

test('who may connect is decided by grants; a role that one’s role gets or loses ends open sessions', async () => {
  await assert.rejects(login(), { code: '42501' })
  await accounts('create-role', 'connecting')
  await accounts('grant', 'connecting', 'DQL', '--schema', 'public')
  await accounts('grant', 'support', '--role', 'connecting')
  // Until the gate has looked again, here and below; the test's own time limit is the only one.
  let session = await login().catch(() => undefined)
  while (session === undefined) session = await login().catch(() => undefined)
  await accounts('revoke', 'support', '--role', 'connecting')
  const ended = await session.ended
  assert('code' in ended && ended.code === '57P01', String(ended))
  let refusal: unknown
  while (refusal === undefined)
    refusal = await login().then(
      ({ client }) => void client.end(),
      error => error,
    )
  assert(refusal instanceof Error && 'code' in refusal && refusal.code === '42501', String(refusal))
})

test('a superuser needs no grant, from the reload that makes one', async () => {
  await accounts('deny', 'olga', 'ALL', '--cluster')
  await becomes(olga(), 403)
  const path = 'bawn.yaml'
  const without = world.place.read(path)
  world.place.write(path, without.replace('{ accounts: staff }', '{ accounts: staff, superusers: [olga] }'))
  const { output } = await bawn('reload')
  assert.match(output, /grants changed/)
  assert.match(output, /olga of accounts\.staff needs no grant/)
  assert.equal(await status(olga()), 200)
  world.place.write(path, without)
  assert.equal((await bawn('reload')).status, 0)
  assert.equal(await status(olga()), 403)
  await accounts('revoke', 'olga', 'ALL', '--cluster')
})

test('grants that cannot be read let nobody in, and nobody is told to be refused', async () => {
  await becomes(bearer('alice'), 200)
  const file = new DatabaseSync(world.place.path('data/accounts.db'), { timeout: 5_000 })
  file.exec('ALTER TABLE counter RENAME TO lost')
  try {
    await becomes(bearer('alice'), 503)
    // Where no grant is asked, it goes on.
    const other = await fetch(`http://127.0.0.1:${world.ports.web}/people/1`, {
      headers: { authorization: bearer('alice') },
    })
    assert.equal(other.status, 200)
    await other.body?.cancel()
  } finally {
    file.exec('ALTER TABLE lost RENAME TO counter')
    file.close()
  }
  await becomes(bearer('alice'), 200)
  const log = readFileSync(world.place.path('data/gateway.log'), 'utf8')
  assert.equal(log.split('the grants in staff cannot be read","').length - 1 > 0, true)
})
