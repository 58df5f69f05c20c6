import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { cells, type Kit, type RawClient, rawLogin, say, startKit, withClient } from './postgres-kit.ts'

// A name that comes to mean something else behind the gateway's back: SQL and the protocol share the names of prepared statements and
// portals, `search_path` and temporary tables decide what a table's name means, and the server skips what stands behind an error.

let kit: Kit
/** Sees `nick` in plain and nothing of `email`. */
let guest: RawClient
before(async () => {
  kit = await startKit(
    `create table people (id int primary key, name text, email bytea, photo bytea);
     create table nicks (id int primary key, nick bytea);
     create table notes (id int primary key, body text);
     create function open_people(c refcursor) returns refcursor language plpgsql
       as $$ begin open c for select email from people; return c; end $$;`,
    [
      {
        name: 'nick',
        columns: ['public.nicks.nick'],
        protect: { encrypt: 'acrablock' },
        reveal: { default: 'plain' },
      },
    ],
  )
  await withClient(kit.client('billy'), async client => {
    await client.query("insert into people (id, email) values (1, 'ada@example.com')")
    await client.query("insert into nicks values (1, 'ad')")
  })
  guest = await rawLogin(kit.door.address.port, 'guest', 'guest')
})
after(async () => {
  guest.socket.destroy()
  await kit.stop()
})

async function ask(ready: number, ...messages: Buffer[]) {
  guest.socket.write(Buffer.concat(messages))
  await guest.until(() => guest.letters().split('Z').length - 1 >= ready)
  const all = guest.messages()
  const letters = guest.letters()
  guest.received = Buffer.alloc(0)
  const rows = all.filter(message => message.type === 'D').map(message => cells(message.body))
  const codes = all
    .filter(message => message.type === 'E')
    .map(message => parseErrorResponse(message.body, 0, message.body.length).get('C'))
  return { letters, rows, codes }
}

test('a portal that SQL replaced is not opened by the description of the one before', async () => {
  for (const open of ['declare c cursor for select email from people', "select open_people('c')"]) {
    await ask(
      2,
      say.query('begin'),
      say.parse('', 'select nick from nicks'),
      say.bind('c', ''),
      say.describe('P', 'c'),
      say.sync,
    )
    await ask(2, say.query('close c'), say.query(open))
    const { letters, rows } = await ask(2, say.execute('c'), say.sync, say.query('rollback'))
    assert.equal(letters, 'DCZCZ', open)
    assert.deepEqual(rows, [[undefined]], open)
  }
})

test('a portal of an unprotected statement that SQL replaced is looked at', async () => {
  const { letters, rows } = await ask(
    4,
    say.query('begin'),
    say.parse('', 'select 1'),
    say.bind('c', ''),
    say.parse('', 'close c'),
    say.bind('', ''),
    say.execute(''),
    say.parse('', 'declare c cursor for select email from people'),
    say.bind('', ''),
    say.execute(''),
    say.execute('c'),
    say.sync,
    say.query('select 1'),
    say.query('rollback'),
  )
  assert.equal(letters, 'CZ1212C12CDCZTDCZCZ')
  assert.deepEqual(rows, [[undefined], ['1']])
})

test('an unprotected prepared statement that SQL replaced is looked at', async () => {
  const { rows } = await ask(
    4,
    say.parse('s', 'select 1'),
    say.sync,
    say.query('deallocate s'),
    say.query('prepare s as select email from people'),
    say.bind('', 's'),
    say.execute(''),
    say.close('S', 's'),
    say.sync,
  )
  assert.deepEqual(rows, [[undefined]])
})

test('behind the end of a COPY a name is trusted no sooner than elsewhere', async () => {
  await ask(1, say.parse('s', 'insert into people (id, email) values ($1, $2)'), say.sync)
  guest.socket.write(say.query('copy notes from stdin'))
  await guest.until(() => guest.letters() === 'G')
  // The batch fails, so that Close and Parse never happen, and `s` still is the INSERT.
  const { codes } = await ask(
    3,
    say.copyDone,
    say.parse('', 'select no_such_column'),
    say.close('S', 's'),
    say.parse('s', 'insert into notes values ($1::int, $2)'),
    say.sync,
    say.bind('', 's', ['50', 'fifty@example.com']),
    say.execute(''),
    say.close('S', 's'),
    say.sync,
  )
  assert.deepEqual(codes, ['42703'])
  const stored = await kit.direct("select position('fifty'::bytea in email) as at from people where id = 50")
  assert.deepEqual(stored, [{ at: 0 }])
})

test('two batches that fail one behind the other leave a name what it was before both', async () => {
  await ask(1, say.parse('', 'select email from people'), say.sync)
  const failing = (text: string) => [say.parse('f', 'select no_such_column'), say.parse('', text), say.sync]
  const { letters } = await ask(2, ...failing('select 1'), ...failing('select 2'))
  assert.equal(letters, 'EZEZ')
  const { rows } = await ask(1, say.bind('', ''), say.execute(''), say.sync)
  assert.ok(rows.length > 0)
  assert.deepEqual(rows, Array(rows.length).fill([undefined]))
})

test('what comes behind an error, before its Sync, is read over', async () => {
  guest.socket.write(Buffer.concat([say.parse('', 'select no_such_column'), say.flush]))
  await guest.until(() => guest.letters() === 'E')
  const { letters, rows } = await ask(
    3,
    say.parse('', 'select lower(email::text) from people'),
    say.bind('', ''),
    say.execute(''),
    say.query('select 1'),
    say.sync,
    say.query('select 2'),
    say.sync,
  )
  assert.equal(letters, 'EZTDCZZ')
  assert.deepEqual(rows, [['2']])
})
