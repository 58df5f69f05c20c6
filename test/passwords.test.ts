import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { deriveDigestVerifiers, digestHash } from '../packages/bawn/src/accounts/digest-verifier.ts'
import { openSqliteAccounts } from '../packages/bawn/src/accounts/sqlite.ts'
import { deriveVerifiers } from '../packages/bawn/src/accounts/verifier.ts'
import { digestResponse } from '../packages/bawn/src/authn/digest.ts'
import { createScramCredential } from '../packages/bawn/src/authn/scram-client.ts'
import { generateAuditKey, generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { parseErrorResponse } from '../packages/bawn/src/postgres/wire/error-response.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { type RunningServer, startServer } from '../packages/bawn/src/server.ts'
import { createHttpClient, nonceOf, TimedSocket } from './guessing/timed-client.ts'
import { workersLine } from './world.ts'

// Is what was typed the password that was set? The same answer at both doors and by every mechanism, but where a standard says otherwise. Each
// row has an account of its own. PostgreSQL is not there: who is let in meets 08001, who is not 28P01.

const folder = mkdtempSync(join(tmpdir(), 'bawn-passwords-'))
const path = (name: string): string => join(folder, name)
const realm = 'bawn'

/** Who lets it in. */
type Way = 'basic' | 'digest' | 'password' | 'scram'
const ways: readonly Way[] = ['basic', 'digest', 'password', 'scram']
/** Several workers have no digest. */
const hasDigest = workersLine === ''

interface Row {
  readonly name: string
  /** Of the account; `user-<row>` where it is not said. */
  readonly user?: string
  readonly set: string
  /** As it comes in; the account's where it is not said. */
  readonly as?: string
  readonly typed: string
  readonly lets: readonly Way[]
}

const longest = 'p'.repeat(1_024)
const rows: readonly Row[] = [
  { name: 'the same', set: 'correct horse', typed: 'correct horse', lets: ways },
  { name: 'another case', set: 'correct horse', typed: 'Correct horse', lets: [] },
  { name: 'a blank behind it', set: 'correct horse', typed: 'correct horse ', lets: [] },
  { name: 'nothing', set: 'correct horse', typed: '', lets: [] },
  { name: 'colons', set: 'a:b:c:d:e', typed: 'a:b:c:d:e', lets: ways },
  {
    name: 'a letter composed, typed in two parts',
    set: 'caf\u00e9 noir',
    typed: 'cafe\u0301 noir',
    lets: ['basic', 'password', 'scram'],
  },
  // RFC 7616 section 4: the client composes, so the one that was set in two parts is the composed one.
  { name: 'a letter in two parts, typed composed', set: 'cafe\u0301 noir', typed: 'caf\u00e9 noir', lets: ways },
  {
    name: 'a no-break space for a blank',
    set: 'correct horse',
    typed: 'correct\u00a0horse',
    lets: ['basic', 'password', 'scram'],
  },
  {
    name: 'a soft hyphen inside',
    set: 'correcthorse',
    typed: 'correct\u00adhorse',
    lets: ['basic', 'password', 'scram'],
  },
  {
    name: 'a Roman numeral for its letters',
    set: 'IX horses',
    typed: '\u2168 horses',
    lets: ['basic', 'password', 'scram'],
  },
  { name: 'what SASLprep forbids, byte for byte', set: '\u{1f511} key ring', typed: '\u{1f511} key ring', lets: ways },
  { name: 'what SASLprep forbids, in two parts', set: '\u{1f511} caf\u00e9', typed: '\u{1f511} cafe\u0301', lets: [] },
  { name: 'as long as may be', set: longest, typed: longest, lets: ways },
  // Nothing is hashed for it; where the password does not come in clear, its length does not show.
  { name: 'longer', set: `${longest}p`, typed: `${longest}p`, lets: ['digest', 'scram'] },
  { name: 'the same 72 bytes, and others behind', set: `${'p'.repeat(72)}a`, typed: `${'p'.repeat(72)}b`, lets: [] },
  // RFC 7617 section 2 forbids control characters in Basic.
  {
    name: 'a control character',
    set: 'correct\thorse',
    typed: 'correct\thorse',
    lets: ['digest', 'password', 'scram'],
  },
  {
    name: 'a name in two parts',
    user: 'zo\u00eb',
    set: 'correct horse',
    as: 'zoe\u0308',
    typed: 'correct horse',
    lets: [],
  },
  {
    name: 'a name in another case',
    user: 'Yvonne',
    set: 'correct horse',
    as: 'yvonne',
    typed: 'correct horse',
    lets: [],
  },
  {
    name: 'a name beyond ASCII',
    user: 'J\u00e4s\u00f8n Doe',
    set: 'correct horse',
    typed: 'correct horse',
    lets: ways,
  },
  // RFC 7617 section 2: the first colon ends the name. For digest nothing is kept.
  {
    name: 'a name with a colon',
    user: 'a:b',
    set: 'correct horse',
    typed: 'correct horse',
    lets: ['password', 'scram'],
  },
  {
    name: 'a blank behind the name',
    user: 'xaver',
    set: 'correct horse',
    as: 'xaver ',
    typed: 'correct horse',
    lets: [],
  },
  {
    name: 'a name longer than any account’s',
    user: 'wendy',
    set: 'correct horse',
    as: 'w'.repeat(4_000),
    typed: 'correct horse',
    lets: [],
  },
]
const userOf = (row: Row): string => row.user ?? `user-${rows.indexOf(row)}`

let server: RunningServer
before(async () => {
  const masterKey = randomBytes(32)
  writeFileSync(path('master'), masterKey.toString('base64'), { mode: 0o600 })
  generateAuditKey({ path: path('keys'), masterKey })
  generateKeys({ path: path('keys'), masterKey, clientId: 'shop-fields' })
  const store = openSqliteAccounts({ name: 'staff', path: path('accounts.db') })
  for (const row of rows) {
    const name = userOf(row)
    const digest = deriveDigestVerifiers(name, row.set, { realm, algorithms: ['SHA-256'] })
    await store.add({ name, roles: [], ...(await deriveVerifiers(row.set)), digest, locked: false })
  }
  await store.close()
  writeFileSync(
    path('bawn.yaml'),
    `${workersLine}listeners: { web: { door: http, address: "127.0.0.1:0" }, sql: { door: postgres, address: "127.0.0.1:0" } }
databases: { shop: { host: 127.0.0.1, port: 1, tls: off, login: { user: b, password: file:master }, allow: [authenticated] } }
upstreams: { main: { url: "http://127.0.0.1:1" } }
accounts: { staff: { kind: sqlite, path: accounts.db } }
${hasDigest ? `mechanisms: { digest: { realm: ${realm} } }\n` : ''}host_rules: [{ door: http, use: [${hasDigest ? 'basic, digest' : 'basic'}] }, { door: postgres, use: [scram, password] }]
routes: [{ path: /who, methods: [GET], upstream: main, allow: [authenticated] }]
keys: { store: { kind: directory, path: keys }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
`,
  )
  server = await startServer({ configPath: path('bawn.yaml'), log: () => {}, clock: Date.now })
})
after(async () => {
  await server?.close(0)
  rmSync(folder, { recursive: true, force: true })
})

const connect = (door: 'web' | 'sql', from: string): Promise<TimedSocket> =>
  TimedSocket.connect(Number(server.addresses[door]?.split(':').at(-1)), from)

/** Is the last message an ErrorResponse? Its SQLSTATE; `undefined` while it is not. */
function lastState(bytes: Buffer): string | undefined {
  let at = 0
  while (bytes.length >= at + 5) {
    const end = at + 1 + bytes.readInt32BE(at + 1)
    if (end > bytes.length) return undefined
    if (bytes.toString('latin1', at, at + 1) === 'E') return new Map(parseErrorResponse(bytes, at + 5, end)).get('C')
    at = end
  }
  return undefined
}
const isMessage = (bytes: Buffer): boolean => bytes.length >= 5 && bytes.length >= bytes.readInt32BE(1) + 1
const isRefusal = (bytes: Buffer): boolean => lastState(bytes) !== undefined

/** 08001: let in, and nobody is behind the gateway. */
const isLetIn = (answer: Buffer): boolean => {
  const state = lastState(answer)
  assert(state === '08001' || state === '28P01', state)
  return state === '08001'
}

async function tries(way: Way, user: string, password: string, from: string): Promise<boolean> {
  const socket = await connect(way === 'basic' || way === 'digest' ? 'web' : 'sql', from)
  try {
    if (way === 'basic' || way === 'digest') {
      const get = createHttpClient(socket)
      const authorization =
        way === 'basic'
          ? `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
          : digestOf(user, password, nonceOf((await get(undefined)).answer))
      const { status } = await get(authorization)
      assert(status === 401 || status === 502, String(status))
      return status === 502
    }
    const parameters = [
      ['user', user],
      ['database', 'shop'],
      ['options', `-c bawn.login=${way}`],
    ] as const
    await socket.ask(buildStartupMessage(parameters), isMessage)
    if (way === 'password') {
      const secret = new MessageBuilder().begin(front.password).cstring(password).end().take()
      return isLetIn((await socket.ask(secret, isRefusal)).answer)
    }
    const nonce = randomBytes(18).toString('base64')
    const offered = ['SCRAM-SHA-256']
    const client = createScramCredential(password).start({ offered, tls: false, channelBinding: undefined, nonce })
    const initial = new MessageBuilder().begin(front.password).cstring('SCRAM-SHA-256')
    initial.int32(client.first.length).bytes(client.first)
    const challenge = await socket.ask(initial.end().take(), isMessage)
    const proof = await client.respond(challenge.answer.subarray(9))
    const answer = await socket.ask(new MessageBuilder().begin(front.password).bytes(proof).end().take(), isRefusal)
    return isLetIn(answer.answer)
  } finally {
    socket.destroy()
  }
}

/** As a client of RFC 7616 that takes what was typed as it is. */
function digestOf(user: string, password: string, nonce: string): string {
  const of = { method: 'GET', uri: '/who', nonce, nc: '00000001', cnonce: 'c' }
  const response = digestResponse('SHA-256', digestHash('SHA-256', `${user}:${realm}:${password}`), of)
  const username = `username*=UTF-8''${encodeURIComponent(user)}`
  return `Digest ${username}, realm="${realm}", uri="/who", algorithm=SHA-256, nonce="${nonce}", nc=00000001, cnonce="c", qop=auth, response="${response}"`
}

for (const row of rows) {
  const lets = row.lets.filter(way => hasDigest || way !== 'digest')
  test(`${row.name}: ${lets.join(', ') || 'nobody'}`, async () => {
    const user = row.as ?? userOf(row)
    const found: Way[] = []
    for (const way of ways) {
      if (way === 'digest' && !hasDigest) continue
      if (await tries(way, user, row.typed, `127.0.2.${rows.indexOf(row) + 1}`)) found.push(way)
    }
    assert.deepEqual(found, lets)
  })
}

test('a right password, known from a moment ago, ends where another process changes its account', async () => {
  const elsewhere = openSqliteAccounts({ name: 'staff', path: path('accounts.db') })
  const user = 'patricia'
  const from = '127.0.2.200'
  try {
    await elsewhere.add({ name: user, roles: [], ...(await deriveVerifiers('correct horse')), locked: false })
    const letsIn = async (password: string): Promise<boolean> => {
      let last = await tries('basic', user, password, from)
      // The first is hashed; what comes behind is known from it.
      for (let n = 0; n < 3; n += 1) last = await tries('basic', user, password, from)
      return last
    }
    assert.ok(await letsIn('correct horse'))
    await elsewhere.setLocked(user, true)
    assert.ok(!(await tries('basic', user, 'correct horse', from)))
    await elsewhere.setLocked(user, false)
    assert.ok(await letsIn('correct horse'))
    await elsewhere.setVerifier(user, await deriveVerifiers('battery staple'))
    assert.ok(!(await tries('basic', user, 'correct horse', from)))
    assert.ok(await letsIn('battery staple'))
    await elsewhere.remove(user)
    assert.ok(!(await tries('basic', user, 'battery staple', from)))
  } finally {
    await elsewhere.close()
  }
})
