import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import pg from 'pg'
import { type Postgres, startPostgres } from './postgres.ts'
import { findBinaries, nobody } from './postgres-binaries.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-test-'))
chmodSync(folder, 0o755)
after(() => rmSync(folder, { recursive: true, force: true }))

async function query(server: Postgres, text: string, password = server.password): Promise<unknown> {
  const { host, port, user, database } = server
  const client = new pg.Client({ host, port, user, database, password })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows[0]
  } finally {
    await client.end()
  }
}

test('a throw-away server: its own database, passwords asked for, no Unix socket, nothing left behind', async () => {
  const server = await startPostgres({ database: 'shop' })
  assert.deepEqual(await query(server, 'select current_database() as name'), { name: 'shop' })
  assert.deepEqual(await query(server, 'show unix_socket_directories'), { unix_socket_directories: '' })
  assert.deepEqual(await query(server, 'show listen_addresses'), { listen_addresses: '127.0.0.1' })
  await assert.rejects(query(server, 'select 1', 'guess'), { code: '28P01' })
  await server.stop()
  assert.equal(existsSync(server.dataDirectory), false)
})

test('a lasting server finds its data again, also after a crash', async () => {
  const options = { dataDirectory: join(folder, 'lasting'), password: 'once and again' }
  const first = await startPostgres(options)
  await query(first, 'create table kept as select 7 as seven')
  const gone = closed(first.port)
  await gone.connected
  first.kill()
  await gone.ended
  const second = await startPostgres(options)
  assert.deepEqual(await query(second, 'select seven from kept'), { seven: 7 })
  assert.deepEqual(await query(second, 'show fsync'), { fsync: 'on' })
  await second.stop()
  assert.equal(existsSync(options.dataDirectory), true)
})

/** A connection of which the end tells when the server has ended. */
function closed(port: number): { readonly connected: Promise<unknown>; readonly ended: Promise<unknown> } {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {}).resume()
  // Not `once`: a reset is an end too.
  return { connected: once(socket, 'connect'), ended: new Promise(resolve => socket.on('close', resolve)) }
}

/** Another process that starts a server, says where, and stays. `temporary`: its empty folder for temporary files. */
function starter(temporary: string, ids: { uid?: number; gid?: number } = {}): ChildProcess {
  const program = `
    const { startPostgres } = await import(${JSON.stringify(new URL('postgres.ts', import.meta.url).href)})
    const server = await startPostgres({ database: 'shop' })
    process.stdin.on('end', () => server.stop()).resume()
    console.log(server.port)`
  return spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, TMPDIR: temporary },
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
    ...ids,
  })
}

async function portOf(child: ChildProcess): Promise<number> {
  assert(child.stdout)
  for await (const line of createInterface({ input: child.stdout })) return Number(line)
  throw new Error('the process ended before it had started a server')
}

test('two processes may start at once in an empty cache, and a server dies with the process that started it', async () => {
  const temporary = mkdtempSync(join(folder, 'cache-'))
  chmodSync(temporary, 0o1777)
  const [one, two] = [starter(temporary), starter(temporary)]
  const [killed, asked] = await Promise.all([portOf(one), portOf(two)])
  const servers = [closed(killed), closed(asked)]
  await Promise.all(servers.map(server => server.connected))
  one.kill('SIGKILL')
  two.stdin?.end()
  await Promise.all(servers.map(server => server.ended))
})

test('works for an ordinary user without an account name', async () => {
  await findBinaries()
  const temporary = mkdtempSync(join(folder, 'user-'))
  chmodSync(temporary, 0o1777)
  const child = starter(temporary, process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {})
  const server = closed(await portOf(child))
  await server.connected
  child.stdin?.end()
  await Promise.all([once(child, 'exit'), server.ended])
  assert.equal(child.exitCode, 0)
})

test('says what to install when there is no PostgreSQL', async () => {
  await assert.rejects(findBinaries({ PG_BIN: folder }), /PG_BIN names .* which has no initdb/)
})
