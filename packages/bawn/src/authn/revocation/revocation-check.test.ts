import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { revocationOptions } from '../../option.ts'
import { AuthnError } from '../error.ts'
import {
  type AnswerOptions,
  type Issued,
  issuingDistributionPoint,
  type ListOptions,
  listPem,
  readRequest,
  TestAuthority,
} from './authority.fixture.ts'
import { parseAuthorities } from './chain.ts'
import { retryMs } from './refreshed.ts'
import { createRevocationCheck, type RevocationCheck } from './revocation-check.ts'

// Against a responder and lists that are served over HTTP, and files.

/** What the server says at each path. Nothing: it is away. */
const responders = new Map<string, (asked: { readonly nonce: Buffer | undefined; readonly serial: string }) => Buffer>()
const lists = new Map<string, () => Buffer>()
let asked: string[] = []
const server = createServer(async (request, response) => {
  const path = request.url ?? ''
  asked.push(path)
  const body = await read(request)
  const bytes =
    responders.get(path)?.(body.length > 0 ? readRequest(body) : assert.fail('no request')) ?? lists.get(path)?.()
  if (bytes === undefined) request.socket.destroy()
  else response.end(bytes)
})
async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}
const folder = mkdtempSync(join(tmpdir(), 'bawn-revocation-'))
let base = ''
let host = ''
before(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  base = `http://${host}`
})
after(() => {
  server.close()
  server.closeAllConnections()
  rmSync(folder, { recursive: true })
})
const file = (name: string): string => join(folder, name)

const root = new TestAuthority('root')
const middle = new TestAuthority('middle', root)
let skew = 0
let logged: string[] = []
const clock = (): number => Date.now() + skew
beforeEach(() => {
  responders.clear()
  lists.clear()
  asked = []
  logged = []
  skew = 0
})

function create(options: object, authorities: readonly TestAuthority[] = [root]): RevocationCheck {
  return createRevocationCheck(
    revocationOptions.parse(options),
    parseAuthorities(authorities.map(({ issued }) => issued.pem)),
    { fetch, clock, log: (_level, message) => logged.push(message) },
  )
}

/** `good`, `revoked`, `unknown`, or why it cannot be decided. */
async function standing(check: RevocationCheck, { certificate }: Issued): Promise<string> {
  try {
    return (await check.check(certificate)).kind
  } catch (error) {
    assert.ok(error instanceof AuthnError && error.code === 'authn.revocation_undecided', String(error))
    return error.message.replaceAll(base, '').replaceAll(folder, '')
  }
}

/** While something has failed, the next attempts are made beside: what they find shows when they are through. */
async function eventually(check: RevocationCheck, of: Issued, expect: string): Promise<void> {
  const begunAt = performance.now()
  let found = ''
  while (found !== expect) {
    assert(performance.now() - begunAt < 10_000, `${expect} is awaited, and it is ${found}`)
    found = await standing(check, of)
    skew += retryMs / 100
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** At this path, the authority answers so about the certificate. */
function answers(path: string, of: Issued, options: AnswerOptions = {}, by = root): void {
  responders.set(path, ({ nonce }) => by.answer(of, { nonce, ...options }))
}
const serves = (path: string, options: ListOptions = {}, by = root): void => {
  const list = by.list(options)
  lists.set(path, () => list)
}
const serialOf = ({ certificate }: Issued): Buffer => Buffer.from(certificate.serialNumber, 'hex')

// What each path says of the certificate: g good, r revoked, u unknown, - nothing. /own is the configured one, /a and /b are named.
const combinations: readonly {
  readonly says: string
  readonly from: 'ignore' | 'use' | 'prefer'
  readonly required?: string
  readonly expect: string
  /** Who is asked, in any order. */
  readonly asked: string
}[] = [
  { says: 'own=g', from: 'ignore', expect: 'good', asked: 'own' },
  { says: 'own=r', from: 'ignore', expect: 'revoked', asked: 'own' },
  { says: 'own=u', from: 'ignore', expect: 'unknown', asked: 'own' },
  { says: 'own=-', from: 'ignore', expect: 'undecided', asked: 'own' },
  { says: 'own=g a=r', from: 'ignore', expect: 'good', asked: 'own' },
  { says: 'a=g', from: 'ignore', expect: 'undecided', asked: '' },
  { says: 'own=u', from: 'ignore', required: 'allow_unknown', expect: 'good', asked: 'own' },
  { says: 'own=-', from: 'ignore', required: 'allow_unknown', expect: 'undecided', asked: 'own' },
  { says: 'own=r', from: 'ignore', required: 'allow_unknown', expect: 'revoked', asked: 'own' },
  { says: 'own=u', from: 'ignore', required: 'require_good', expect: 'unknown', asked: 'own' },
  { says: 'own=g', from: 'use', expect: 'good', asked: 'own' },
  { says: 'own=g a=g', from: 'use', expect: 'good', asked: 'a own' },
  { says: 'own=g a=r', from: 'use', expect: 'revoked', asked: 'a own' },
  { says: 'own=r a=g', from: 'use', expect: 'revoked', asked: 'a own' },
  { says: 'own=g a=u', from: 'use', expect: 'unknown', asked: 'a own' },
  { says: 'own=g a=-', from: 'use', expect: 'good', asked: 'a own' },
  { says: 'own=- a=g', from: 'use', expect: 'good', asked: 'a own' },
  { says: 'own=- a=-', from: 'use', expect: 'undecided', asked: 'a own' },
  { says: 'own=u a=-', from: 'use', expect: 'unknown', asked: 'a own' },
  { says: 'own=u a=-', from: 'use', required: 'allow_unknown', expect: 'good', asked: 'a own' },
  { says: 'own=u a=r', from: 'use', required: 'allow_unknown', expect: 'revoked', asked: 'a own' },
  { says: 'own=g a=-', from: 'use', required: 'require_good', expect: 'undecided', asked: 'a own' },
  { says: 'own=g a=u', from: 'use', required: 'require_good', expect: 'unknown', asked: 'a own' },
  { says: 'own=g a=g b=g', from: 'use', required: 'require_good', expect: 'good', asked: 'a b own' },
  { says: 'own=- a=r', from: 'use', required: 'require_good', expect: 'revoked', asked: 'a own' },
  { says: 'own=r a=g', from: 'prefer', expect: 'good', asked: 'a' },
  { says: 'own=g a=r', from: 'prefer', expect: 'revoked', asked: 'a' },
  { says: 'own=g a=u', from: 'prefer', expect: 'unknown', asked: 'a' },
  { says: 'own=g a=-', from: 'prefer', expect: 'good', asked: 'a own' },
  { says: 'own=g a=- b=g', from: 'prefer', expect: 'good', asked: 'a b' },
  { says: 'own=g', from: 'prefer', expect: 'good', asked: 'own' },
  { says: 'own=- a=-', from: 'prefer', expect: 'undecided', asked: 'a own' },
  { says: 'a=g', from: 'prefer', expect: 'good', asked: 'a' },
  { says: 'a=-', from: 'prefer', expect: 'undecided', asked: 'a' },
]
for (const row of combinations) {
  test(`responders: ${row.from} ${row.required ?? ''} ${row.says}`, async () => {
    const kinds: Readonly<Record<string, AnswerOptions['status']>> = { g: 'good', r: 'revoked', u: 'unknown' }
    const said = row.says.split(' ').map(one => one.split('='))
    const paths = said.map(([path]) => path).filter(path => path !== 'own')
    const leaf = root.issue('app', { ocsp: paths.map(path => `${base}/${path}`) })
    for (const [path, kind = ''] of said) {
      const status = kinds[kind]
      if (status !== undefined) answers(`/${path}`, leaf, { status })
    }
    const url = row.says.includes('own') ? { url: `${base}/own` } : {}
    const required = row.required === undefined ? {} : { required: row.required }
    const check = create({ ocsp: { ...url, from_certificate: row.from, ...required }, hosts: [host] })
    const found = await standing(check, leaf)
    assert.equal(found.includes(' ') ? 'undecided' : found, row.expect)
    assert.equal([...new Set(asked)].sort().join(' ').replaceAll('/', ''), row.asked)
  })
}

test('hosts that are not listed are not asked, nor other schemes, nor many', async () => {
  const leaf = root.issue('app', {
    ocsp: [
      `${base}/a`,
      'http://127.0.0.1:1/',
      'http://localhost/',
      `https://${host}/a`,
      'file:///etc/passwd',
      'ldap://x/',
    ],
  })
  answers('/a', leaf)
  const elsewhere = create({ ocsp: { from_certificate: 'use' }, hosts: ['127.0.0.1'] })
  assert.equal(
    await standing(elsewhere, leaf),
    `nobody can be asked about the certificate with serial number ${serialOf(leaf).toString('hex')}`,
  )
  assert.deepEqual(asked, [])
  const many = root.issue('app', { ocsp: Array.from({ length: 9 }, (_, index) => `${base}/${index}`) })
  assert.match(await standing(create({ ocsp: { from_certificate: 'use' }, hosts: [host] }), many), /responder \/0: /)
  assert.deepEqual([...new Set(asked)].sort(), ['/0', '/1', '/2', '/3'])
})

test('answers that may not be believed decide nothing', async () => {
  const leaf = root.issue('app')
  const rows: readonly (readonly [AnswerOptions, string])[] = [
    [{ signWith: middle.issued.privateKey }, 'its signature is wrong'],
    [{ nextUpdate: new Date(Date.now() - 1000) }, 'it is outdated'],
    [{ serial: Buffer.of(1) }, 'it is about other certificates'],
    [{ nonce: Buffer.alloc(32) }, 'it has another nonce'],
  ]
  for (const [options, says] of rows) {
    answers('/own', leaf, options)
    assert.equal(await standing(create({ ocsp: { url: `${base}/own` } }), leaf), `responder /own: ${says}`)
  }
  responders.set('/own', () => Buffer.alloc(70_000, 0x30))
  assert.equal(await standing(create({ ocsp: { url: `${base}/own` } }), leaf), 'responder /own: more than 65536 bytes')
})

test('a nonce is sent, may be left out of the answer, and may be required or off', async () => {
  const leaf = root.issue('app')
  const nonces: (number | undefined)[] = []
  responders.set('/own', ({ nonce }) => {
    nonces.push(nonce?.length)
    return root.answer(leaf)
  })
  for (const [nonce, expect] of [
    ['optional', 'good'],
    ['off', 'good'],
    ['required', 'responder /own: it has no nonce'],
  ]) {
    assert.equal(await standing(create({ ocsp: { url: `${base}/own`, nonce } }), leaf), expect)
  }
  assert.deepEqual(nonces, [32, undefined, 32])
})

test('an answer is asked for once while it is fresh, and by everybody together', async () => {
  const leaf = root.issue('app')
  answers('/own', leaf)
  const check = create({ ocsp: { url: `${base}/own`, cache_time: '1m' } })
  const all = await Promise.all(Array.from({ length: 20 }, () => standing(check, leaf)))
  assert.deepEqual([...new Set(all)], ['good'])
  assert.equal(asked.length, 1)
  // At once, and not as a promise: requests on a connection do not wait.
  const known = check.check(leaf.certificate)
  assert.deepEqual(known instanceof Promise ? 'a promise' : [known.kind, known.by], ['good', `responder ${base}/own`])
  skew = 61_000
  answers('/own', leaf, { status: 'revoked' })
  assert.equal(await standing(check, leaf), 'revoked')
  assert.equal(asked.length, 2)
  assert.equal(check.isKnownRevoked(leaf.certificate), true)
  assert.match(logged.join(), /^the certificate with serial number [0-9a-f]{32} is revoked, says responder/)
})

test('a responder that goes away is done without, as long as its last answer says', async () => {
  const leaf = root.issue('app')
  answers('/own', leaf, { nextUpdate: new Date(Date.now() + 3_600_000) })
  const check = create({ ocsp: { url: `${base}/own`, cache_time: '1m' } })
  assert.equal(await standing(check, leaf), 'good')
  responders.clear()
  skew = 61_000
  assert.equal(await standing(check, leaf), 'good')
  skew += retryMs
  assert.equal(await standing(check, leaf), 'good')
  assert.equal(logged.length, 1)
  skew = 3_700_000
  assert.match(await standing(check, leaf), /^responder \/own: /)
  answers('/own', leaf, {
    thisUpdate: new Date(clock()),
    nextUpdate: new Date(clock() + 60_000),
    producedAt: new Date(clock()),
  })
  skew += retryMs
  assert.equal(await standing(check, leaf), 'good')
})

test('what is open hears of a revocation without asking itself', async () => {
  const leaf = root.issue('app')
  answers('/own', leaf)
  const check = create({ ocsp: { url: `${base}/own`, cache_time: '1m' } })
  await check.check(leaf.certificate)
  assert.equal(check.isKnownRevoked(leaf.certificate), false)
  answers('/own', leaf, { status: 'revoked' })
  skew = 61_000
  // Nobody waits for it here: it is found out beside.
  assert.equal(check.isKnownRevoked(leaf.certificate), false)
  await check.check(leaf.certificate)
  assert.equal(check.isKnownRevoked(leaf.certificate), true)
  responders.clear()
  skew += 61_000
  assert.equal(check.isKnownRevoked(leaf.certificate), true, 'the responder is away, and was clear before')
  await standing(check, leaf)
})

test('every certificate below the root is looked at, or the leaf only', async () => {
  const leaf = middle.issue('app')
  answers('/own', leaf, {}, middle)
  const byIssuer = (status: AnswerOptions['status']): void => {
    responders.set('/own', ({ serial, nonce }) =>
      serial === serialOf(leaf).toString('hex')
        ? middle.answer(leaf, { nonce })
        : root.answer(middle.issued, { nonce, ...(status ? { status } : {}) }),
    )
  }
  const ocsp = { url: `${base}/own` }
  const both = [root, middle]
  byIssuer('good')
  assert.equal(await standing(create({ ocsp }, both), leaf), 'good')
  assert.equal(asked.length, 2)
  byIssuer('revoked')
  assert.equal(await standing(create({ ocsp }, both), leaf), 'revoked')
  assert.equal(await standing(create({ ocsp: { ...ocsp, check: 'leaf' } }, both), leaf), 'good')
  assert.match(await standing(create({ ocsp }, [root]), leaf), /client_ca needs the intermediate authorities too/)
})

test('a root that is a client itself is revoked by taking it out of the file', async () => {
  assert.equal(await standing(create({ crl: { file: file('none.crl') } }), root.issued), 'good')
})

const listRows: readonly {
  readonly name: string
  /** What is served where. */
  readonly served: Readonly<Record<string, ListOptions | (() => Buffer)>>
  readonly named?: readonly string[]
  readonly crl: object
  readonly expect: string | RegExp
}[] = [
  { name: 'not listed', served: { own: {} }, crl: { url: 'own' }, expect: 'good' },
  { name: 'listed', served: { own: { revoked: [] } }, crl: { url: 'own' }, expect: 'revoked' },
  { name: 'the list is away', served: {}, crl: { url: 'own' }, expect: /^revocation list \/own: / },
  {
    name: 'an outdated list',
    served: { own: { nextUpdate: new Date(0) } },
    crl: { url: 'own' },
    expect: 'revocation list /own: it is outdated',
  },
  {
    name: 'a forged list',
    served: { own: { signWith: middle.issued.privateKey } },
    crl: { url: 'own' },
    expect: 'revocation list /own: its signature is wrong',
  },
  {
    name: 'no list',
    served: { own: () => Buffer.from('<html>') },
    crl: { url: 'own' },
    expect: 'revocation list /own: it is neither DER nor PEM of a list',
  },
  {
    name: 'a list that is too large',
    served: { own: () => Buffer.alloc(2_000) },
    crl: { url: 'own', max_bytes: 1_024 },
    expect: 'revocation list /own: more than 1024 bytes',
  },
  {
    name: 'another issuer’s list',
    served: { own: () => middle.list() },
    crl: { url: 'own' },
    expect: /^nobody can be asked/,
  },
  {
    name: 'one of two is of the issuer',
    served: { own: () => middle.list(), b: {} },
    crl: { url: ['own', 'b'] },
    expect: 'good',
  },
  { name: 'one of two is away', served: { b: {} }, crl: { url: ['own', 'b'] }, expect: 'good' },
  { name: 'one of two has it', served: { own: {}, b: { revoked: [] } }, crl: { url: ['own', 'b'] }, expect: 'revoked' },
  {
    name: 'a list for authorities',
    served: { own: { extensions: [issuingDistributionPoint('8201ff')] } },
    crl: { url: 'own' },
    expect: /^nobody can be asked/,
  },
  {
    name: 'named and not used',
    served: { own: {}, a: { revoked: [] } },
    named: ['a'],
    crl: { url: 'own' },
    expect: 'good',
  },
  {
    name: 'named and used',
    served: { own: {}, a: { revoked: [] } },
    named: ['a'],
    crl: { url: 'own', from_certificate: 'use' },
    expect: 'revoked',
  },
  { name: 'only named', served: { a: {} }, named: ['a'], crl: { from_certificate: 'use' }, expect: 'good' },
  { name: 'named by nobody', served: {}, crl: { from_certificate: 'use' }, expect: /^nobody can be asked/ },
  {
    name: 'preferred',
    served: { own: { revoked: [] }, a: {} },
    named: ['a'],
    crl: { url: 'own', from_certificate: 'prefer' },
    expect: 'good',
  },
  {
    name: 'preferred and away',
    served: { own: { revoked: [] } },
    named: ['a'],
    crl: { url: 'own', from_certificate: 'prefer' },
    expect: 'revoked',
  },
]
for (const row of listRows) {
  test(`lists: ${row.name}`, async () => {
    const leaf = root.issue('app', { crl: (row.named ?? []).map(path => `${base}/${path}`) })
    for (const [path, what] of Object.entries(row.served)) {
      if (typeof what === 'function') lists.set(`/${path}`, what)
      else serves(`/${path}`, what.revoked ? { ...what, revoked: [serialOf(leaf)] } : what)
    }
    const full = (url: string | string[]) => (Array.isArray(url) ? url : [url]).map(path => `${base}/${path}`)
    const crl = 'url' in row.crl ? { ...row.crl, url: full(row.crl.url as string | string[]) } : row.crl
    const found = await standing(create({ crl, hosts: [host] }), leaf)
    if (typeof row.expect === 'string') assert.equal(found, row.expect)
    else assert.match(found, row.expect)
  })
}

test('a list from before the last one is not believed', async () => {
  const leaf = root.issue('app')
  const check = create({ crl: { url: `${base}/own`, cache_time: '1m' } })
  serves('/own', { number: 7, revoked: [serialOf(leaf)] })
  assert.equal(await standing(check, leaf), 'revoked')
  serves('/own', { number: 6 })
  skew = 61_000
  assert.equal(await standing(check, leaf), 'revoked')
  assert.match(logged.join(), /it is older than the one before/)
  serves('/own', { number: 8 })
  skew += retryMs
  await eventually(check, leaf, 'good')
})

test('a file is read again when it has changed, and goes on while it cannot be read', async () => {
  const leaf = root.issue('app')
  const path = file('clients.crl')
  const put = (bytes: Uint8Array | string): void => {
    writeFileSync(`${path}.new`, bytes)
    renameSync(`${path}.new`, path)
    skew += 1_000
  }
  put(root.list({ number: 1 }))
  const check = create({ crl: { file: path } })
  assert.equal(await standing(check, leaf), 'good')
  put(listPem(root.list({ number: 2, revoked: [serialOf(leaf)] })))
  assert.equal(await standing(check, leaf), 'revoked')
  put('half wri')
  assert.equal(await standing(check, leaf), 'revoked')
  assert.match(logged.join(), /neither DER nor PEM/)
  rmSync(path)
  skew += 1_000
  assert.equal(await standing(check, leaf), 'revoked')
  put(root.list({ number: 3 }))
  await eventually(check, leaf, 'good')
})

test('what is named in the configuration is read in advance, and said when it is of no use', async () => {
  writeFileSync(file('other.crl'), new TestAuthority('other').list())
  serves('/old', { nextUpdate: new Date(0) })
  await create({ crl: { file: [file('other.crl'), file('missing.crl')], url: `${base}/old` } }, [root, middle]).prime()
  const said = logged.map(line => line.replaceAll(folder, '').replaceAll(base, '')).sort()
  assert.deepEqual(
    said.filter((line, index) => said.indexOf(line) === index),
    [
      "revocation list /missing.crl: ENOENT: no such file or directory, open '/missing.crl'",
      'revocation list /old: it is outdated',
      'revocation list /other.crl is of none of the authorities that are believed',
    ],
  )
})

test('responders and lists together: both have to say good, where both can', async () => {
  const leaf = root.issue('app')
  const both = { ocsp: { url: `${base}/own` }, crl: { url: `${base}/list` } }
  answers('/own', leaf)
  serves('/list')
  assert.equal(await standing(create(both), leaf), 'good')
  serves('/list', { revoked: [serialOf(leaf)] })
  assert.equal(await standing(create(both), leaf), 'revoked')
  lists.clear()
  assert.match(await standing(create(both), leaf), /^revocation list/)
  serves('/list')
  responders.clear()
  assert.match(await standing(create(both), leaf), /^responder/)
  // The certificate names no responder, so that only the list is there to be asked.
  const named = { ocsp: { from_certificate: 'use' }, crl: { url: `${base}/list` }, hosts: [host] }
  assert.equal(await standing(create(named), leaf), 'good')
})

test('who signs answers in the place of the issuer is looked up in the lists, unless the issuer says not to', async () => {
  const leaf = root.issue('app')
  const signer = root.issue('responder', { usage: 'ocsp' })
  const both = { ocsp: { url: `${base}/own` }, crl: { url: `${base}/list` } }
  answers('/own', leaf, { signer })
  serves('/list')
  assert.equal(await standing(create(both), leaf), 'good')
  serves('/list', { revoked: [serialOf(signer)] })
  assert.equal(await standing(create(both), leaf), 'responder /own: its certificate was revoked')
  const vouched = root.issue('responder', { usage: 'ocsp', noCheck: true })
  answers('/own', leaf, { signer: vouched })
  serves('/list', { revoked: [serialOf(vouched)] })
  assert.equal(await standing(create(both), leaf), 'good')
})

test('a responder that hangs is given up after its time, and stopping gives it up at once', async () => {
  const leaf = root.issue('app')
  const silent = createServer(() => {})
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`
  try {
    assert.match(await standing(create({ ocsp: { url, timeout: '50ms' } }), leaf), /timeout/)
    const check = create({ ocsp: { url, timeout: '60s' } })
    const found = standing(check, leaf)
    await once(silent, 'request')
    check.close()
    assert.match(await found, /the gateway is stopping/)
  } finally {
    silent.closeAllConnections()
    silent.close()
  }
})
