import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { json } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type pg from 'pg'
import { type AccountGateways, connectAs, type Node, startAccountGateways } from './account-gateway.ts'
import { runBawn } from './world.ts'

// Tokens that the gateway has issued, as the password at the PostgreSQL door: two nodes with the same accounts and the same tokens.

const password = 'correct horse'
const key = randomBytes(32).toString('base64')
const accounts = (): string => '{ kind: sqlite, path: accounts.db }'
const kinds: Readonly<Record<string, (secret: AccountGateways['secret']) => string>> = {
  'random, in SQLite': () => '{ kind: sqlite, path: tokens.db, ttl: 10m }',
  signed: secret => {
    const file = secret('tokens.key', key)
    return `{ kind: signed, key: "file:${file}", ttl: 10m, revocations: { kind: sqlite, path: tokens.db } }`
  },
}

for (const [kind, tokens] of Object.entries(kinds)) {
  describe(`tokens ${kind}`, () => {
    let gateways: AccountGateways
    let one: Node
    let other: Node
    before(async () => {
      gateways = await startAccountGateways(accounts, 2, false, tokens)
      for (const name of ['alice', 'bob']) {
        await gateways.run(['accounts', 'add', name, '--role', 'staff', '--password-stdin'], password)
      }
      const [first, second] = gateways.nodes
      assert(first && second)
      one = first
      other = second
    })
    after(() => gateways?.stop())

    const folderFile = (name: string): string => join(dirname(gateways.configuration), name)
    const revoke = (...who: string[]): Promise<string> => gateways.run(['tokens', 'revoke', ...who])

    test('it logs in its subject, at every node, with the roles of now, and stands nowhere', async () => {
      const token = await tokenOf(one, 'alice')
      for (const node of [one, other]) {
        const client = await connectAs(node, 'alice', token, 'token')
        assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
        await client.end()
      }
      await gateways.run(['accounts', 'roles', 'alice', 'guest'])
      assert.equal(await refusal(one, 'alice', token), '42501', 'the policy of the database is for staff')
      await gateways.run(['accounts', 'roles', 'alice', 'staff'])
      await (await connectAs(one, 'alice', token, 'token')).end()

      const trail = readFileSync(folderFile('audit0.jsonl'), 'utf8')
      assert.match(trail, /"door":"postgres","identity":\{"id":"alice","roles":\["staff"\],"mechanism":"token"/)
      for (const text of [trail, one.log(), readFileSync(folderFile('audit1.jsonl'), 'utf8'), other.log()]) {
        assert(!text.includes(token) && !text.includes(hash('sha256', token, 'base64url')))
        assert(!text.includes(token.split('.').at(-1) ?? ''))
      }
    })

    test('it is worth nothing with another name, changed, or in the place of a password', async () => {
      const token = await tokenOf(one, 'alice')
      assert.equal(await refusal(one, 'bob', token), '28P01')
      assert.equal(await refusal(one, 'nobody', token), '28P01')
      const last = token.at(-2) === 'A' ? 'B' : 'A'
      assert.equal(await refusal(one, 'alice', `${token.slice(0, -2)}${last}${token.slice(-1)}`), '28P01')
      assert.equal(await refusal(one, 'alice', password), '28P01')
      assert.equal(await refusal(one, 'alice', token, 'password'), '28P01')
    })

    test('bawn tokens revoke ends the sessions that it began, at every node, and no others', async () => {
      const token = await tokenOf(one, 'alice')
      const busy = await connectAs(one, 'alice', token, 'token')
      const idle = await connectAs(other, 'alice', token, 'token')
      const byPassword = await connectAs(one, 'alice', password, 'scram')
      const bobs = await connectAs(one, 'bob', await tokenOf(one, 'bob'), 'token')
      const running = assert.rejects(busy.query('select pg_sleep(120)'), { code: '57P01' })
      const end = ended(idle)
      await revoke('alice')
      assert.equal(await soon(end), '57P01')
      await soon(running)
      assert.equal(await refusal(other, 'alice', token), '28P01')
      for (const client of [byPassword, bobs]) {
        assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
        await client.end()
      }
      await (await connectAs(other, 'alice', await tokenOf(one, 'alice'), 'token')).end()
    })

    test('DELETE of the token resource at one node ends a session at the other', async () => {
      const token = await tokenOf(one, 'alice')
      const client = await connectAs(other, 'alice', token, 'token')
      const end = ended(client)
      assert.equal((await ask(one, 'DELETE', '/tokens/alice', `alice:${token}`)).status, 204)
      assert.equal(await soon(end), '57P01')
    })

    test('a lock and a new password end the sessions of tokens, and the tokens', async () => {
      for (const change of [['lock'], ['passwd']] as const) {
        const token = await tokenOf(one, 'bob')
        const client = await connectAs(one, 'bob', token, 'token')
        const end = ended(client)
        if (change[0] === 'lock') await gateways.run(['accounts', 'lock', 'bob'])
        else await gateways.run(['accounts', 'passwd', 'bob', '--password-stdin'], password)
        assert.equal(await soon(end), '57P01', change[0])
        if (change[0] === 'lock') await gateways.run(['accounts', 'unlock', 'bob'])
        assert.equal(await refusal(one, 'bob', token), '28P01', 'unlocked, it stays worth nothing')
      }
    })

    test('a session ends when its token runs out, and nobody logs in with it then', async () => {
      const short = folderFile('short.yaml')
      writeFileSync(short, readFileSync(gateways.configuration, 'utf8').replace('ttl: 10m', 'ttl: 5s'))
      const issued = await runBawn('tokens', 'issue', 'nightly', '--role', 'staff', '--config', short)
      assert.equal(issued.status, 0, issued.output)
      const [token = ''] = issued.output.split('\n')
      // Whoever is of no store: what the token says counts.
      const client = await connectAs(one, 'nightly', token, 'token')
      assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
      assert.equal(await soon(ended(client)), '57P01')
      assert.equal(await refusal(one, 'nightly', token), '28P01')
    })

    test('a reload leaves sessions alone, and what it takes away ends them', async () => {
      const [token, file] = [await tokenOf(one, 'alice'), gateways.configuration]
      const first = await connectAs(one, 'alice', token, 'token')
      await one.reload()
      // A round of looking at everybody, by the next composition.
      const bobs = await connectAs(one, 'bob', password, 'scram')
      const gone = ended(bobs)
      await gateways.run(['accounts', 'lock', 'bob'])
      await soon(gone)
      assert.equal((await first.query('select 1 as one')).rows[0].one, 1)
      const end = ended(first)
      await revoke('alice')
      assert.equal(await soon(end), '57P01')

      const second = await connectAs(one, 'alice', await tokenOf(one, 'alice'), 'token')
      const text = readFileSync(file, 'utf8')
      const without = text
        .replace(/^tokens: .*$/m, '')
        .replace('[token, ', '[')
        .replace(', token]', ']')
      writeFileSync(file, without)
      const over = ended(second)
      await one.reload()
      assert.equal(await soon(over), '57P01')
      writeFileSync(file, text)
      await one.reload()
    })

    test('where the store cannot be asked nobody gets in, and a session goes on until its token runs out', async () => {
      const token = await tokenOf(one, 'alice')
      const client = await connectAs(one, 'alice', token, 'token')
      const database = new DatabaseSync(folderFile('tokens.db'))
      database.exec('ALTER TABLE token RENAME TO lost_token; ALTER TABLE epoch RENAME TO lost_epoch')
      assert.equal(await refusal(one, 'alice', token), '57P03')
      // The log comes by a pipe.
      const refusedAt = performance.now()
      while (!/the token file .* failed/.test(one.log())) {
        assert(performance.now() - refusedAt < 10_000, one.log())
        await new Promise(resolve => setImmediate(resolve))
      }
      assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
      database.exec('ALTER TABLE lost_token RENAME TO token; ALTER TABLE lost_epoch RENAME TO epoch')
      database.close()
      await (await connectAs(one, 'alice', token, 'token')).end()
      const end = ended(client)
      await revoke('--all')
      assert.equal(await soon(end), '57P01')
    })
  })
}

/** A new token, as any client gets one. */
async function tokenOf(node: Node, user: string): Promise<string> {
  const { status, body } = await ask(node, 'POST', '/token', `${user}:${password}`)
  assert.equal(status, 200)
  assert(body instanceof Object && 'access_token' in body)
  return String(body.access_token)
}

async function ask(node: Node, method: string, path: string, auth: string) {
  const asked = request(new URL(path, node.url), { method, auth, ca: readFileSync(node.ca), agent: false }).end()
  const [answer] = await once(asked, 'response')
  const body: unknown = answer.statusCode === 204 ? undefined : await json(answer)
  return { status: Number(answer.statusCode), body }
}

/** SQLSTATE of a login that has to fail. */
async function refusal(node: Node, user: string, secret: string, by: 'token' | 'password' = 'token'): Promise<unknown> {
  try {
    await (await connectAs(node, user, secret, by)).end()
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
  return 'logged in'
}

/** SQLSTATE with which the gateway ends an open session; to be called before it does. */
async function ended(client: pg.Client): Promise<unknown> {
  const [error] = await once(client, 'error')
  return error.code
}

/** What comes of it within ten seconds from now. */
function soon<Result>(outcome: Promise<Result>): Promise<Result> {
  const deadline = setTimeout(10_000, undefined, { ref: false }).then(() => assert.fail('the session is still open'))
  return Promise.race([outcome, deadline])
}
