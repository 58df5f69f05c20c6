import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { base, Client, type Site, startSite, type Visit } from '../../packages/bawn/src/http/login/site.fixture.ts'
import { MessageBuilder } from '../../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../../packages/bawn/src/postgres/wire/startup.ts'
import { RawClient } from '../postgres-kit.ts'
import { type Keycloak, startKeycloak } from './keycloak.ts'
import { clientSecret, passwordOf, realm } from './realm.ts'

// Keycloak as the identity provider of both doors, with the configurations of docs/guide/keycloak.md: npm run test:keycloak

const guide = readFileSync(join(import.meta.dirname, '../../docs/guide/keycloak.md'), 'utf8')
const [programsPart = '', peoplePart = ''] = [...guide.matchAll(/```yaml\n([\s\S]*?)```/g)].map(
  ([, yaml]) => yaml ?? '',
)
const authority = createAuthority('keycloak tests')
const atKeycloak = 'https://id.example/realms/corp'

let keycloak: Keycloak
let shop: Postgres
/** Of programs and psql; of people with a browser. */
let gate: Site
let peopleGate: Site
const closing: (() => unknown)[] = []
/** Of the gateway's clock before Keycloak's, in ms: keys that it does not have are asked for once in half a minute. */
let ahead = 0
before(
  async () => {
    shop = await startPostgres()
    keycloak = await startKeycloak(realm(base))
    const fixture = { after: (work: () => unknown) => void closing.push(work) }
    /** As it stands in the guide, but for what every machine has of its own. */
    const adapted = (text: string) => (upstream: string) =>
      text
        .replaceAll(atKeycloak, keycloak.issuer)
        .replace('algorithms: [RS256]', 'insecure_http: true\n    $&')
        .replace('client_id: bawn\n    client_secret: file:client.secret\n    issuer:', 'insecure_http: true\n    $&')
        .replace('host: 127.0.0.1, database', `host: 127.0.0.1, port: ${shop.port}, database`)
        .replace('http://127.0.0.1:3000', upstream)
        .replace(
          '{ certificate: server.crt, key: server.key } }\ndatabases',
          '{ certificate: sql.crt, key: sql.key } }\ndatabases',
        )
        .replace(/"(?:127\.0\.0\.1|0\.0\.0\.0):(?:8080|9393|443)"/g, '"127.0.0.1:0"')
    const options = { issuer: keycloak.issuer, jwks: '', clock: () => Date.now() + ahead }
    const { certificate, key } = authority.issue('localhost', 'server', ['localhost'])
    const secrets = {
      ...{ 'client.secret': clientSecret, 'shop.password': shop.password },
      ...{ 'sql.crt': certificate, 'sql.key': key },
    }
    gate = await startSite(fixture, { ...options, secrets, configuration: adapted(programsPart) })
    peopleGate = await startSite(fixture, { ...options, secrets, configuration: adapted(peoplePart) })
  },
  { timeout: 230_000 },
)
after(async () => {
  for (const close of closing.reverse()) await close()
  await keycloak?.stop()
  await shop?.stop()
})

const tokenOf = (user: string, client = 'cli'): Promise<string> => keycloak.token(client, user, passwordOf(user))
const portOf = (name: string): number => Number(gate.server.addresses[name]?.split(':').at(-1))

async function ask(token: string, path = '/orders') {
  const answer = await fetch(`http://127.0.0.1:${portOf('web')}${path}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  const body = await answer.text()
  const seen: unknown = answer.status === 200 ? JSON.parse(/<p id="seen">(.*)<\/p>/.exec(body)?.[1] ?? '') : undefined
  const code = /"code": ?"([^"]+)"/.exec(body)?.[1]
  return { status: answer.status, seen, code }
}

/** Asks until it is answered so; Keycloak and the caches between take their time. */
async function until(what: () => Promise<number>, wanted: number): Promise<void> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const status = await what()
    if (status === wanted) return
    assert(Date.now() < deadline, `still ${status}, not ${wanted}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

const keyOf = (token: string): unknown =>
  JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString())['kid']

/** The same token, as if another key had signed it. */
function withKey(token: string, kid: string): string {
  const [, ...rest] = token.split('.')
  const header = Buffer.from(JSON.stringify({ alg: 'RS256', typ: 'JWT', kid })).toString('base64url')
  return [header, ...rest].join('.')
}

async function logIn(user: string, password: string): Promise<string> {
  const client = new pg.Client({
    ...{ host: 'localhost', port: portOf('sql'), database: 'shop', user, password },
    ssl: { ca: authority.certificate },
  })
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query('select 1 as one')
    return `ok ${rows[0].one}`
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  } finally {
    await client.end().catch(() => {})
  }
}

test('a token of Keycloak, signed with RS256, with its nested roles, at the HTTP door', async () => {
  const token = await tokenOf('alice')
  const { status, seen } = await ask(token)
  assert.equal(status, 200)
  assert(seen !== null && typeof seen === 'object' && 'user' in seen && 'roles' in seen)
  assert.equal(seen.user, 'alice')
  assert.match(String(seen.roles), /\bstaff\b/)
  assert.equal((await ask(await tokenOf('carol'))).status, 403, 'without the role')
})

test('a token for somebody else’s audience is refused at both doors', async () => {
  const token = await tokenOf('alice', 'elsewhere')
  assert.deepEqual(await ask(token), { status: 401, seen: undefined, code: 'authn.failed' })
  assert.equal(await logIn('alice', token), '28P01')
  assert.equal(gate.trail().at(-1)?.['code'], 'wrong-audience')
})

test('as the password of a PostgreSQL client: its own name, its own role', async () => {
  assert.equal(await logIn('alice', await tokenOf('alice')), 'ok 1')
  assert.equal(await logIn('carol', await tokenOf('alice')), '28P01', 'the name of another')
  assert.equal(await logIn('carol', await tokenOf('carol')), '42501', 'without the role')
})

test('by OAUTHBEARER, as PostgreSQL 18’s clients send it', async () => {
  const client = await RawClient.connectTls(portOf('sql'), authority.certificate, ['postgresql'])
  client.socket.write(
    buildStartupMessage([
      ['user', 'alice'],
      ['database', 'shop'],
      ['options', '-c bawn.login=oauthbearer'],
    ]),
  )
  await client.until(() => client.letters() === 'R')
  const data = Buffer.from(`n,,\x01auth=Bearer ${await tokenOf('alice')}\x01\x01`)
  client.socket.write(
    new MessageBuilder().begin(front.password).cstring('OAUTHBEARER').int32(data.length).bytes(data).end().take(),
  )
  await client.until(() => client.letters().includes('Z'))
  client.socket.destroy()
})

test('asked about a token, Keycloak knows it, and that its session has ended', async () => {
  const token = await tokenOf('alice')
  const { status, seen } = await ask(token, '/asked')
  assert.equal(status, 200)
  assert(seen !== null && typeof seen === 'object' && 'user' in seen)
  assert.equal(seen.user, 'alice')
  await keycloak.admin('POST', `/corp/users/${await idOf('alice')}/logout`)
  await until(async () => (await ask(token, '/asked')).status, 401)
})

async function idOf(username: string): Promise<string> {
  const { json } = await keycloak.admin('GET', `/corp/users?exact=true&username=${username}`)
  assert(Array.isArray(json) && json.length === 1)
  return String(json[0].id)
}

test('keys that Keycloak makes anew are followed, without a restart', async () => {
  const before = await tokenOf('alice')
  assert.equal((await ask(before)).status, 200)
  await keycloak.admin('POST', '/corp/components', {
    name: 'newer',
    providerId: 'rsa-generated',
    providerType: 'org.keycloak.keys.KeyProvider',
    config: { priority: ['1000'], enabled: ['true'], active: ['true'], keySize: ['2048'] },
  })
  ahead += 31_000
  const newer = await tokenOf('alice')
  assert.notEqual(keyOf(newer), keyOf(before))
  await until(async () => (await ask(newer)).status, 200)
  assert.equal((await ask(before)).status, 200, 'the one before is still published')
  assert.equal(await logIn('alice', newer), 'ok 1')
})

/** Fills Keycloak's page in. */
async function typeIn(client: Client, page: Visit, user: string): Promise<Visit> {
  const form = /<form [^>]*id="kc-form-login"[^>]*>/.exec(page.body)?.[0] ?? ''
  const action = /action="([^"]+)"/.exec(form)?.[1]?.replaceAll('&amp;', '&')
  assert(action !== undefined, page.body)
  const fields = new URLSearchParams({ username: user, password: passwordOf(user), credentialId: '' })
  const typed = await client.send('POST', action, {}, fields.toString())
  assert(typed.headers.location !== undefined, typed.body)
  return client.follow(typed.headers.location)
}

test('a person logs in at Keycloak’s page with PKCE, and Keycloak ends the session through the back channel', async () => {
  const { json } = await keycloak.admin('GET', '/corp/clients?clientId=bawn')
  assert(Array.isArray(json))
  const [found] = json
  const backchannel = `http://127.0.0.1:${peopleGate.plainPort}/logout/backchannel`
  await keycloak.admin('PUT', `/corp/clients/${found.id}`, {
    ...found,
    attributes: { ...found.attributes, 'backchannel.logout.url': backchannel },
  })
  const client = new Client(peopleGate)
  const page = await client.follow(`${base}/orders`)
  assert(page.url.startsWith(`${keycloak.issuer}/protocol/openid-connect/auth?`), page.url)
  assert.equal(new URL(page.url).searchParams.get('code_challenge_method'), 'S256')
  const orders = await typeIn(client, page, 'alice')
  assert.equal(orders.status, 200, orders.body)
  const alice = await idOf('alice')
  assert.match(orders.body, new RegExp(`"user":"${alice}","roles":"[^"]*staff`))
  assert.equal((await client.get(`${base}/orders`)).status, 200)

  await keycloak.admin('POST', `/corp/users/${alice}/logout`)
  await until(async () => (await client.get(`${base}/orders`)).status, 302)
  const again = await client.follow(`${base}/orders`)
  assert.match(again.body, /kc-form-login/, 'who was logged out types again')
})

test('Keycloak away: keys that are known go on, others are 503 and not 401; back again, all is as before', async () => {
  const [known, unseen] = [await tokenOf('alice'), await tokenOf('alice')]
  assert.equal((await ask(known)).status, 200)
  await keycloak.kill()
  assert.equal((await ask(known)).status, 200)
  assert.equal((await ask(unseen)).status, 200, 'another token of the same key')
  assert.equal(await logIn('alice', unseen), 'ok 1')
  ahead += 31_000
  const strange = withKey(known, 'nobody-knows')
  await until(async () => (await ask(strange)).status, 503)
  assert.equal((await ask(strange)).code, 'authn.issuer_unreachable')
  assert.equal(await logIn('alice', strange), '57P03')
  assert.equal((await ask(unseen, '/asked')).status, 503)

  await keycloak.again()
  // It is asked at most every 30 s for keys that nobody knows, and may be back sooner.
  ahead += 31_000
  await until(async () => (await ask(strange)).status, 401)
  const newer = await tokenOf('alice')
  assert.deepEqual([(await ask(newer)).status, (await ask(newer, '/asked')).status], [200, 200])
})
