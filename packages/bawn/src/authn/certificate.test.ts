import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Account, AccountStore } from '../accounts/store.ts'
import { type CertificateMechanism, commonNameOf, createCertificateMechanism } from './certificate.ts'
import { clientIdOf } from './client-id.ts'
import type { ServiceOptions } from './option.ts'

const load = (file: string) =>
  new X509Certificate(readFileSync(new URL(`../../../../vectors/authn/${file}.pem`, import.meta.url)))
const appOne = load('app-one')
const appOneId = clientIdOf(appOne)
const now = appOne.validFromDate.getTime() + 86_400_000
const byName = (common_name: string, roles: string[] = ['billing']): ServiceOptions => ({ common_name, roles })

async function outcome(
  mechanism: CertificateMechanism,
  peer: X509Certificate,
  user?: string,
  at = now,
): Promise<string> {
  const found = await mechanism.authenticate(peer, user, at)
  if (found.kind === 'rejected') return found.reason
  return found.kind === 'identified'
    ? `${found.identity.id} of ${found.identity.source}: ${found.identity.roles.join()}`
    : found.kind
}

const services = { billing: byName('app one'), twin: byName('second') }
const rows: readonly {
  readonly name: string
  readonly file: string
  readonly user?: string
  readonly services?: Readonly<Record<string, ServiceOptions>>
  readonly at?: number
  readonly expect: string
}[] = [
  { name: 'a service by its CN', file: 'app-one', expect: 'app one of certificate: billing' },
  {
    name: 'digitalSignature is not needed where clientAuth is',
    file: 'app-one-reversed',
    expect: 'app one of certificate: billing',
  },
  {
    name: 'the stated name is the service',
    file: 'app-one',
    user: 'billing',
    expect: 'app one of certificate: billing',
  },
  { name: 'the stated name is the CN', file: 'app-one', user: 'app one', expect: 'app one of certificate: billing' },
  { name: 'the stated name is another', file: 'app-one', user: 'twin', expect: 'name-mismatch' },
  { name: 'the stated name differs in case', file: 'app-one', user: 'Billing', expect: 'name-mismatch' },
  { name: 'the stated name is empty', file: 'app-one', user: '', expect: 'name-mismatch' },
  {
    name: 'a service by its client id',
    file: 'app-one',
    services: { x: { client_id: appOneId, roles: ['r'] }, billing: byName('app one') },
    expect: 'app one of certificate: r',
  },
  {
    name: 'a client id whose CN is another',
    file: 'app-one',
    services: { x: { client_id: appOneId, common_name: 'app two', roles: ['r'] } },
    expect: 'unknown-user',
  },
  { name: 'the CN of nobody', file: 'app-one', services: {}, expect: 'unknown-user' },
  { name: 'no prototype is a service', file: 'app-one', user: 'constructor', services: {}, expect: 'name-mismatch' },
  { name: 'an authority', file: 'authority', services: { root: byName('root') }, expect: 'untrusted' },
  { name: 'no usage', file: 'no-usage', services: { plain: byName('plain') }, expect: 'untrusted' },
  { name: 'a server certificate', file: 'server-only', services: { server: byName('server') }, expect: 'untrusted' },
  { name: 'an empty subject', file: 'empty-subject', expect: 'malformed' },
  { name: 'two CNs are none', file: 'two-names', expect: 'unknown-user' },
  { name: 'before its time', file: 'app-one', at: appOne.validFromDate.getTime() - 1, expect: 'not-yet-valid' },
  { name: 'after its time', file: 'app-one', at: appOne.validToDate.getTime() + 1, expect: 'expired' },
]
for (const row of rows) {
  test(row.name, async () => {
    const mechanism = createCertificateMechanism(row.services ?? services)
    assert.equal(await outcome(mechanism, load(row.file), row.user, row.at), row.expect)
  })
}

test('the identity holds the client id, ends with the certificate, and is there at once', () => {
  const found = createCertificateMechanism(services).authenticate(appOne, undefined, now)
  assert.ok(!(found instanceof Promise) && found.kind === 'identified')
  assert.equal(found.identity.clientId, appOneId)
  assert.equal(found.identity.expiresAt, appOne.validToDate.getTime())
  assert.equal(found.identity.mechanism, 'certificate')
  assert.equal(Object.getPrototypeOf(found.identity.claims), null)
})

test('a CN that is no service is looked up in the accounts', async () => {
  const store = (name: string, accounts: readonly Account[]): AccountStore => ({
    name,
    find: async user => accounts.find(account => account.name === user),
    list: async () => accounts,
    add: async () => {},
    setVerifier: async () => {},
    close: async () => {},
  })
  const account = { name: 'Zoë', roles: ['support'], scram: undefined, locked: false }
  const zoe = load('unicode')
  assert.equal(
    await outcome(createCertificateMechanism({}, [store('a', []), store('b', [account])]), zoe, 'Zoë'),
    'Zoë of b: support',
  )
  assert.equal(await outcome(createCertificateMechanism({}, [store('a', [account])]), zoe, 'alice'), 'name-mismatch')
  assert.equal(
    await outcome(createCertificateMechanism({}, [store('a', [{ ...account, locked: true }])]), zoe),
    'locked',
  )
  assert.equal(await outcome(createCertificateMechanism({}, [store('a', [])]), zoe), 'unknown-user')
  const broken = { ...store('c', []), find: async () => Promise.reject(new Error('disk')) }
  await assert.rejects(async () => createCertificateMechanism({}, [broken]).authenticate(zoe, undefined, now), /disk/)
})

test('two services cannot share a certificate', () => {
  assert.throws(() => createCertificateMechanism({ a: byName('x'), b: byName('x') }), { code: 'authn.bad_service' })
  const same = { client_id: appOneId, roles: [] }
  assert.throws(() => createCertificateMechanism({ a: same, b: same }), { code: 'authn.bad_service' })
})

test('the common name is the only one there is', () => {
  assert.equal(commonNameOf(appOne), 'app one')
  assert.equal(commonNameOf(load('two-names')), undefined)
  assert.equal(commonNameOf(load('empty-subject')), undefined)
})
