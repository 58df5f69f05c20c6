import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { get, type IncomingHttpHeaders } from 'node:http'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Gateway, startWorkersWorld, type WorkersWorld } from './workers-kit.ts'

// Digest with two workers: a challenge of one is answered at the other, and each answer is good once, wherever it is sent again. Needs curl.

const realm = 'shop'
const md5ish = (text: string): string => createHash('sha256').update(text).digest('hex')

let world: WorkersWorld
let gateway: Gateway
before(async () => {
  world = await startWorkersWorld()
  world.configure()
  const file = world.path('bawn.yaml')
  writeFileSync(world.path('ha1'), md5ish(`dora:${realm}:pencil`), { mode: 0o600 })
  const text = readFileSync(file, 'utf8')
    .replace('basic: {} }', `digest: { realm: ${realm}, users: { dora: { ha1_sha256: file:ha1, roles: [staff] } } } }`)
    .replace('use: [order, token, basic]', 'use: [order, digest]')
  writeFileSync(file, text)
  gateway = await world.start()
})
after(() => world?.stop())

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** By a connection of its own. */
function ask(authorization: string | undefined): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const headers = authorization === undefined ? {} : { authorization }
  get(`http://${gateway.addresses.get('web')}/`, { agent: false, headers }, async response => {
    const body = (await response.setEncoding('utf8').toArray()).join('')
    resolve({ status: response.statusCode ?? 0, headers: response.headers, body })
  }).on('error', reject)
  return promise
}

const nonceOf = ({ headers }: Answer): string =>
  /nonce="([^"]+)"/.exec(String(headers['www-authenticate']))?.[1] ?? assert.fail('no challenge')

/** RFC 7616 section 3.4.1. */
function proof(nonce: string, count: number): string {
  const nc = count.toString(16).padStart(8, '0')
  const response = md5ish(`${md5ish(`dora:${realm}:pencil`)}:${nonce}:${nc}:c2hvcA:auth:${md5ish('GET:/')}`)
  return `Digest username="dora", realm="${realm}", uri="/", algorithm=SHA-256, nonce="${nonce}", nc=${nc}, cnonce="c2hvcA", qop=auth, response="${response}"`
}

async function whoAnswers(): Promise<Set<string>> {
  const answers = Array.from({ length: 40 }, () => gateway.ask('/', { 'x-order': 'who' }))
  return new Set((await Promise.all(answers)).map(({ body }) => body))
}

test('curl logs in whichever worker it meets', async () => {
  assert.equal((await whoAnswers()).size, 2)
  const url = `http://${gateway.addresses.get('web')}/`
  const args = [
    '-sS',
    '-o',
    '-',
    '-w',
    ' %{http_code}',
    '--digest',
    '-u',
    'dora:pencil',
    '-H',
    'Connection: close',
    url,
  ]
  for (let round = 0; round < 6; round++) {
    const { stdout } = await promisify(execFile)('curl', args)
    assert.equal(stdout, 'dora 200')
  }
})

test('of one answer that is sent many times at once, one is let in', async () => {
  for (let round = 0; round < 10; round++) {
    const header = proof(nonceOf(await ask(undefined)), 1)
    const answers = await Promise.all(Array.from({ length: 24 }, () => ask(header)))
    const let_in = answers.filter(({ status }) => status === 200)
    assert.equal(let_in.length, 1)
    for (const { status, headers } of answers)
      if (status !== 200) assert.match(String(headers['www-authenticate']), /stale=true/)
  }
})

test('each count of a nonce is good once, in any order, at whichever worker', async () => {
  const nonce = nonceOf(await ask(undefined))
  const counts = Array.from({ length: 100 }, (_, at) => at + 1)
  const fresh = await Promise.all(counts.map(count => ask(proof(nonce, count))))
  assert.deepEqual(new Set(fresh.map(({ status }) => status)), new Set([200]))
  const again = await Promise.all(counts.map(count => ask(proof(nonce, count))))
  assert.deepEqual(new Set(again.map(({ status }) => status)), new Set([401]))
})

test('a reload and a worker that is started again make nothing new', async () => {
  const header = proof(nonceOf(await ask(undefined)), 1)
  assert.equal((await ask(header)).status, 200)
  const reloaded = await world.run('reload', '--address', gateway.addresses.get('desk') ?? '')
  assert.equal(reloaded.status, 0, reloaded.output)
  const again = await Promise.all(Array.from({ length: 12 }, () => ask(header)))
  assert.deepEqual(new Set(again.map(({ status }) => status)), new Set([401]))
  const next = proof(nonceOf(await ask(undefined)), 1)
  assert.equal((await ask(next)).status, 200)
  const from = gateway.log().length
  await gateway.ask('/', { 'x-order': 'throw' }).catch(() => {})
  await gateway.logged(/serves again/, from)
  const replayed = await Promise.all(Array.from({ length: 12 }, () => ask(next)))
  assert.deepEqual(new Set(replayed.map(({ status }) => status)), new Set([401]))
})
