import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { parseErrorResponse } from '../../packages/bawn/src/postgres/wire/error-response.ts'
import { buildCancelRequest } from '../../packages/bawn/src/postgres/wire/startup.ts'
import { cells, type Kit, RawClient, rawLogin, say, startKit } from '../postgres-kit.ts'

// What random sequences have shown to differ from PostgreSQL, each by itself.

let kit: Kit
before(async () => {
  kit = await startKit(`
    create table people (id int primary key, name text, email bytea, photo bytea);
    create table notes (id int primary key, body text);
    insert into notes values (1, 'one')`)
})
after(() => kit.stop())

const enter = (): Promise<RawClient> => rawLogin(kit.door.address.port, 'ray', 'billing')

function errorsOf(client: RawClient): Map<string, string>[] {
  const errors = client.messages().filter(({ type }) => type === 'E')
  return errors.map(({ body }) => parseErrorResponse(body, 0, body.length))
}

test('what came before Terminate is answered', async () => {
  const client = await enter()
  const slow = say.query("select pg_sleep(0.2), 'slow'")
  client.socket.write(Buffer.concat([say.query('select 1'), slow, say.query('select 1/0'), say.terminate]))
  await client.untilClosed()
  assert.equal(client.letters(), 'TDCZTDCZEZ')
  const pipelined = await enter()
  const batch = [say.parse('', 'select 2'), say.bind('', ''), say.execute(''), say.sync]
  pipelined.socket.write(Buffer.concat([...batch, say.terminate, say.query('insert into notes values (2)')]))
  await pipelined.untilClosed()
  assert.equal(pipelined.letters(), '12DCZ')
  assert.deepEqual(await kit.direct('select id from notes'), [{ id: 1 }])
})

test('COPY: rows that come before the server has asked for them, and Syncs around them', async () => {
  const client = await enter()
  const row = (id: number) => say.copyData(`${id}\trow\n`)
  const copy = 'copy notes from stdin'
  const [done, sync] = [say.copyDone, say.sync]
  const last = say.query("select 'mine'")
  const sequences: readonly (readonly [messages: readonly Buffer[], letters: RegExp])[] = [
    [[say.query(`${copy}; ${copy}`), row(10), done, row(11), done, sync, last], /^GCGCZZTDCZ$/],
    [[say.query(copy), sync, row(12), sync, done, sync, last], /^GCZZTDCZ$/],
    [[say.query(copy), sync, say.copyFail, sync, last], /^GEZZTDCZ$/],
    // A row that is there already is refused at the end of the data only.
    [[say.query(copy), row(1), sync, sync, done, sync, last], /^GEZZTDCZ$/],
    [[say.query('copy nowhere from stdin'), sync, row(1), sync, done, sync, last], /^EZZZZTDCZ$/],
    [[say.parse('', copy), say.bind('', ''), say.execute(''), sync, row(13), done, sync, last], /^12GCZTDCZ$/],
  ]
  for (const [messages, letters] of sequences) {
    client.socket.write(Buffer.concat(messages))
    await client.until(received => received.includes('mine') && client.letters().endsWith('Z'))
    assert.match(client.letters(), letters)
    client.received = Buffer.alloc(0)
  }
  client.socket.destroy()
})

test('a portal outlives the end of a simple query that was sent before it', async () => {
  const client = await enter()
  const insert = [say.parse('', "insert into notes values (1, 'again')"), say.bind('p', ''), say.flush]
  client.socket.write(Buffer.concat([say.query('select 1'), ...insert]))
  await client.until(() => client.letters() === 'TDCZ12')
  client.socket.write(Buffer.concat([say.execute('p'), say.sync]))
  await client.until(() => client.letters().endsWith('EZ'))
  // Of a portal that it does not know, the door leaves out what may be protected.
  assert.equal(errorsOf(client)[0]?.get('D'), 'Key (id)=(1) already exists.')
  client.socket.destroy()
})

test('a portal that is not there is called as the client called it', async () => {
  const client = await enter()
  const name = 'p'.repeat(70)
  client.socket.write(Buffer.concat([say.query('select 1'), say.execute(name), say.sync]))
  await client.until(() => client.letters() === 'TDCZEZ')
  assert.equal(errorsOf(client)[0]?.get('M'), `portal "${name}" does not exist`)
  client.socket.destroy()
  const first = await enter()
  first.socket.write(Buffer.concat([say.execute('none'), say.sync]))
  await first.until(() => first.letters() === 'EZ')
  assert.equal(errorsOf(first)[0]?.get('C'), '34000')
  first.socket.destroy()
})

test('a cancel request is closed when the server has heard of it: the next statement is not hit', async () => {
  const client = await enter()
  const key = client.backendKey
  assert.ok(key !== undefined)
  for (let round = 0; round < 10; round += 1) {
    const request = await RawClient.connect(kit.door.address.port)
    request.socket.write(buildCancelRequest(key.readInt32BE(0), key.subarray(4)))
    await request.untilClosed()
    client.socket.write(say.query(`select pg_sleep(0.05), ${round}`))
    await client.until(() => client.letters().endsWith('Z'))
    assert.equal(client.letters(), 'TDCZ')
    const row = client.messages().find(({ type }) => type === 'D')
    assert.equal(row === undefined ? undefined : cells(row.body)[1], String(round))
    client.received = Buffer.alloc(0)
  }
  client.socket.destroy()
})
