import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import type { IssuerOptions } from './issuer-option.ts'
import { isJsonObject, parseJson } from './json.ts'
import { checkClaims } from './jwt-claims.ts'
import { issuerOptions } from './option.ts'

const now = 1_800_000_000_000
const seconds = now / 1000
const base = { iss: 'https://id.example', aud: 'shop', sub: 'alice', exp: seconds + 60 }

const optionsWith = (more: object): IssuerOptions =>
  issuerOptions.parse({ issuer: base.iss, audience: ['shop'], jwks: 'x', ...more })

/** Who it is with which roles and until when, or why nobody. */
function judge(claims: object, more: object = {}): string {
  const parsed = parseJson(Buffer.from(JSON.stringify(claims)))
  assert.ok(isJsonObject(parsed))
  const reading = checkClaims(parsed, 'corp', optionsWith(more), now)
  return reading.kind === 'rejected' ? reading.reason : `${reading.identity.id}: ${reading.identity.roles.join()}`
}

/** What the originals do with a token whose signature is good, and what we do; where that differs, docs/differences.md says why. */
interface Row {
  readonly name: string
  readonly claims: object
  readonly options?: object
  readonly is: string
}

const restheart: readonly Row[] = [
  { name: 'usernameClaim: sub by default', claims: {}, is: 'alice: ' },
  {
    name: 'usernameClaim: another',
    claims: { email: 'a@b.example' },
    options: { id_claim: 'email' },
    is: 'a@b.example: ',
  },
  { name: 'usernameClaim: missing', claims: { sub: undefined }, is: 'malformed' },
  { name: 'usernameClaim: null', claims: { sub: null }, is: 'malformed' },
  { name: 'usernameClaim: not a string', claims: { sub: ['alice'] }, is: 'malformed' },
  { name: 'rolesClaim: a list', claims: { roles: ['b', 'a'] }, is: 'alice: a,b' },
  { name: 'rolesClaim: absent', claims: {}, is: 'alice: ' },
  { name: 'rolesClaim: null', claims: { roles: null }, is: 'alice: ' },
  // There it fails; KrakenD reads words, and so do we.
  { name: 'rolesClaim: a string', claims: { roles: 'b a' }, is: 'alice: a,b' },
  // There none of the roles count; here those that are names do.
  { name: 'rolesClaim: a list with other things', claims: { roles: ['a', 1, null, ['b'], { c: 1 }] }, is: 'alice: a' },
  { name: 'rolesClaim: an object', claims: { roles: { a: true } }, is: 'alice: ' },
  {
    name: 'rolesClaim: another',
    claims: { groups: ['g'], roles: ['r'] },
    options: { roles_claim: 'groups' },
    is: 'alice: g',
  },
  { name: 'fixedRoles alone', claims: {}, options: { fixed_roles: ['f'] }, is: 'alice: f' },
  {
    name: 'fixedRoles and rolesClaim: both',
    claims: { roles: ['r', 'f'] },
    options: { fixed_roles: ['f'] },
    is: 'alice: f,r',
  },
  { name: 'issuer: exact', claims: { iss: 'https://id.example/' }, is: 'untrusted' },
  { name: 'audience: one of the token’s', claims: { aud: ['x', 'shop'] }, is: 'alice: ' },
  { name: 'audience: none of the token’s', claims: { aud: ['x'] }, is: 'wrong-audience' },
  { name: 'audience: none at all', claims: { aud: undefined }, is: 'wrong-audience' },
  { name: 'exp: past', claims: { exp: seconds }, is: 'expired' },
  // There a token without it never ends.
  { name: 'exp: none', claims: { exp: undefined }, is: 'malformed' },
  {
    name: 'exp: none, and the options say so',
    claims: { exp: undefined },
    options: { insecure_without_exp: true },
    is: 'alice: ',
  },
  {
    name: 'exp: null, and the options say none',
    claims: { exp: null },
    options: { insecure_without_exp: true },
    is: 'malformed',
  },
  {
    name: 'exp: past, and the options say none',
    claims: { exp: seconds },
    options: { insecure_without_exp: true },
    is: 'expired',
  },
  { name: 'nbf: to come', claims: { nbf: seconds + 1 }, is: 'not-yet-valid' },
  {
    name: 'nbf: to come, without exp',
    claims: { exp: undefined, nbf: seconds + 1 },
    options: { insecure_without_exp: true },
    is: 'not-yet-valid',
  },
]

const krakend: readonly Row[] = [
  {
    name: 'audience: all of the configured',
    claims: { aud: ['desk', 'shop', 'x'] },
    options: { audience: ['shop', 'desk'], audience_match: 'all' },
    is: 'alice: ',
  },
  {
    name: 'audience: all, and one is missing',
    claims: { aud: ['shop'] },
    options: { audience: ['shop', 'desk'], audience_match: 'all' },
    is: 'wrong-audience',
  },
  {
    name: 'audience: any of the configured',
    claims: { aud: 'desk' },
    options: { audience: ['shop', 'desk'] },
    is: 'alice: ',
  },
  { name: 'audience: a number in it', claims: { aud: ['shop', 1] }, is: 'malformed' },
  { name: 'audience: an object', claims: { aud: { shop: true } }, is: 'malformed' },
  {
    name: 'roles_key_is_nested',
    claims: { realm_access: { roles: ['a'] } },
    options: { roles_claim: 'realm_access.roles' },
    is: 'alice: a',
  },
  {
    name: 'roles_key_is_nested: the path breaks',
    claims: { realm_access: ['a'] },
    options: { roles_claim: 'realm_access.roles' },
    is: 'alice: ',
  },
  {
    name: 'roles_key: a URL',
    claims: { 'https://x.example/roles': ['a'] },
    options: { roles_claim: 'https://x.example/roles' },
    is: 'alice: a',
  },
  {
    name: 'scopes_key: words',
    claims: { scope: 'read write' },
    options: { roles_claim: 'scope' },
    is: 'alice: read,write',
  },
  {
    name: 'scopes_key: nested words',
    claims: { data: { scope: 'read' } },
    options: { roles_claim: 'data.scope' },
    is: 'alice: read',
  },
  { name: 'roles: an empty list', claims: { roles: [] }, is: 'alice: ' },
  { name: 'leeway: exp', claims: { exp: seconds - 1 }, options: { leeway: '2s' }, is: 'alice: ' },
  { name: 'leeway: nbf', claims: { nbf: seconds + 2 }, options: { leeway: '2s' }, is: 'alice: ' },
  { name: 'leeway: none by default', claims: { nbf: seconds + 1 }, is: 'not-yet-valid' },
  { name: 'a date that is no number', claims: { nbf: '0' }, is: 'malformed' },
]
for (const [system, rows] of Object.entries({ RESTHeart: restheart, KrakenD: krakend })) {
  for (const { name, claims, options, is } of rows)
    test(`${system}: ${name}: ${is}`, () => assert.equal(judge({ ...base, ...claims }, options), is))
}

test('an identity without an end says so', () => {
  const claims = parseJson(Buffer.from(JSON.stringify({ ...base, exp: undefined })))
  assert.ok(isJsonObject(claims))
  const reading = checkClaims(claims, 'corp', optionsWith({ insecure_without_exp: true }), now)
  assert.ok(reading.kind === 'accepted')
  assert.equal(reading.identity.expiresAt, undefined)
  assert.equal(reading.expiresAt, Infinity)
})

test('claims of every shape end in an identity or a reason', () => {
  const values = [
    undefined,
    null,
    true,
    0,
    -1,
    1e308,
    seconds + 1,
    '',
    'alice',
    'shop',
    base.iss,
    [],
    ['shop'],
    {},
    { a: [1] },
  ]
  const names = ['iss', 'aud', 'sub', 'exp', 'nbf', 'iat', 'roles', '__proto__', 'constructor']
  const pick = <T>(of: readonly T[]): T | undefined => of[randomInt(of.length)]
  for (let round = 0; round < 3_000; round++) {
    const claims: [string, unknown][] = Object.entries(base)
    for (let change = 0; change <= round % 4; change++) claims.push([pick(names) ?? '', pick(values)])
    const options = {
      audience_match: pick(['any', 'all']),
      insecure_without_exp: round % 2 === 0,
      roles_claim: pick(['roles', 'roles.a', '__proto__', 'constructor.name', '..', '']),
      id_claim: pick(['sub', 'roles', '__proto__', 'toString', 'sub.length']),
    }
    assert.match(judge(Object.fromEntries(claims), options), /^(alice|shop|https:.*): |^[a-z-]+$/)
  }
})
