import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { createGate } from '../../packages/bawn/src/policy/gate.ts'
import { type Kit, password, startKit, withClient } from '../postgres-kit.ts'

// PostgreSQL's own client of logical replication through the door.

let kit: Kit
before(async () => {
  const { status } = spawnSync('pg_recvlogical', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'pg_recvlogical is not installed; on Debian: apt-get install postgresql-client')
  kit = await startKit(
    `
    create table people (id int primary key, name text, email bytea, photo bytea);
    create publication everything for all tables;
  `,
    [],
    undefined,
    { wal_level: 'logical' },
  )
})
after(() => kit?.stop())

test('pg_recvlogical streams what is stored, for whom the policy permits', async () => {
  const [database] = kit.state.databases.values()
  assert.ok(database)
  const replication = createGate(['machines'], { machines: { roles: ['billing'] } })
  const door = await kit.listen({ tls: undefined }, { databases: new Map([['shop', { ...database, replication }]]) })
  const client = (user: string, ...args: string[]) => {
    const connection = `host=localhost port=${door.address.port} dbname=shop user=${user} sslmode=disable`
    const env = { PATH: process.env['PATH'], PGPASSWORD: password, LC_ALL: 'C' }
    return spawn('pg_recvlogical', ['-d', connection, '--slot=bawn', '--no-loop', ...args], { env })
  }
  const ended = async (child: ReturnType<typeof client>): Promise<string> => {
    let said = ''
    child.stderr.on('data', chunk => {
      said += chunk
    })
    const code = await new Promise(resolve => child.on('close', resolve))
    return `${code} ${said}`
  }
  assert.match(
    await ended(client('sue', '--create-slot', '--plugin=pgoutput')),
    /^1 .*replication connections .* are refused/s,
  )
  assert.match(await ended(client('billy', '--create-slot', '--plugin=pgoutput')), /^0 /)
  const streaming = client(
    'billy',
    '--start',
    '--file=-',
    '-o',
    'proto_version=1',
    '-o',
    'publication_names=everything',
  )
  let received = ''
  const arrived = new Promise<void>(resolve => {
    streaming.stdout.on('data', chunk => {
      received += chunk.toString('latin1')
      if (received.includes('in clear')) resolve()
    })
  })
  await withClient(kit.client('billy'), async writer => {
    await writer.query("insert into people (id, name, email) values (1, 'in clear', 'ada@example.com')")
  })
  await arrived
  streaming.kill('SIGINT')
  assert.match(await ended(streaming), /^0/)
  const [{ email } = {}] = await kit.direct('select email from people')
  assert.ok(Buffer.isBuffer(email))
  assert.ok(received.includes(email.toString('hex')) && !received.includes('ada@example.com'))
  assert.match(await ended(client('billy', '--drop-slot')), /^0 /)
})
