import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createIdentity } from '../authn/identity.ts'
import { type AnswerContext, answerHeaders } from './answer-headers.ts'
import { bodyKind } from './content-type.ts'
import { carriersOf } from './credentials.ts'
import { parseRequestHead } from './request-head.ts'
import { type HeaderPolicy, headerValue, upstreamHead } from './request-headers.ts'

const who = createIdentity({
  id: 'a,\r\nX-Admin: 1',
  roles: ['b,c', 'a'],
  claims: {},
  clientId: undefined,
  mechanism: 'jwt',
  source: undefined,
  expiresAt: undefined,
})

function sent(
  headers: readonly string[],
  policy: Partial<HeaderPolicy> = {},
  method = 'GET',
  opensBodies = false,
): string[] {
  const raw = ['Host', 'gate.example', ...headers]
  const outcome = parseRequestHead(method, '/', '1.1', raw)
  assert.equal(outcome.kind, 'head')
  if (outcome.kind !== 'head') return []
  const text = upstreamHead(
    outcome.head,
    {
      allowed: undefined,
      reserved: new Set(['x-who']),
      replaced: new Set(['x-gateway']),
      carriers: carriersOf([{ carries: { headers: ['x-team-key'], query: [], cookies: ['session'] } }]),
      isDelegated: false,
      identity: { id: undefined, roles: undefined, claims: [], signed: undefined },
      ...policy,
    },
    { method, peer: '10.0.0.9', secure: true, requestId: 'r-1', opensBodies },
    who,
  )
  assert.ok(text.endsWith('\r\n'))
  return text.split('\r\n').slice(0, -1)
}

const ours = [
  'X-Forwarded-For: 10.0.0.9',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: gate.example',
  'X-Request-Id: r-1',
]

test('what belongs to others than the upstream never gets there', () => {
  const dropped = [
    ...[
      'Connection',
      'Keep-Alive',
      'Proxy-Connection',
      'TE',
      'Trailer',
      'Upgrade',
      'Proxy-Authorization',
      'HTTP2-Settings',
    ],
    ...[
      'X-Forwarded-For',
      'x-forwarded-for',
      'X-Forwarded-User',
      'X-Forwarded-Whatever',
      'Forwarded',
      'Via',
      'X-Real-IP',
    ],
    ...['X-Request-Id', 'X-User', 'Remote-User', 'X-Client-Cert', 'X-Bawn-Anything', 'X-Who', 'X-WHO'],
    ...['X_Forwarded_For', 'X_User', 'Content_Length', 'x-who_', 'X.Who', 'X-Original-URL', 'X-HTTP-Method-Override'],
    ...['Authorization', 'Cookie', 'X-Api-Key'],
    // What widespread backends believe when they stand behind a proxy.
    ...[
      'X-WEBAUTH-USER',
      'Remote-Groups',
      'Remote-Email',
      'X-Authentik-Username',
      'X-Pomerium-Claim-Email',
      'X-Vouch-User',
    ],
    ...[
      'Impersonate-User',
      'X-Remote-Group',
      'X-Remote-Extra-Scopes',
      'X-Hasura-Role',
      'X-Token-Subject',
      'X-Userinfo',
    ],
    ...['X-Endpoint-API-UserInfo', 'X-SSL-Cert', 'X-ARR-ClientCert', 'X-MS-TOKEN-AAD-ACCESS-TOKEN'],
    ...['Client-IP', 'X-Forward-For', 'Proxy-Client-IP', 'CF-Connecting-IPv6', 'Fly-Client-IP', 'X-Url-Scheme'],
    ...['Proxy', 'X-Override-URL', 'X-Envoy-Original-Path'],
  ]
  for (const name of dropped) assert.deepEqual(sent([name, 'x']), ours, name)
  assert.deepEqual(sent(['Expect', '100-continue', 'Content-Length', '5']), ours)
})

test('the rest passes as it came', () => {
  assert.deepEqual(sent(['accept', 'a', 'X-Thing', ' b', 'Accept', 'c', 'User-Agent', 'curl']), [
    'accept: a',
    'X-Thing:  b',
    'Accept: c',
    'User-Agent: curl',
    ...ours,
  ])
})

test('what Connection names is dropped, and only of the caller’s', () => {
  assert.deepEqual(
    sent(['Connection', 'close, X-Thing,x-forwarded-for , X-Request-Id', 'X-Thing', 'a', 'Accept', 'b']),
    ['Accept: b', ...ours],
  )
  assert.deepEqual(sent(['Connection', 'X-A', 'Connection', 'X-B', 'X-A', '1', 'X-B', '2', 'X-C', '3']), [
    'X-C: 3',
    ...ours,
  ])
})

test('a credential that is for the gateway goes no further, unless nobody here judges it', () => {
  const headers = ['Authorization', 'Bearer x', 'X-Team-Key', 'k', 'No-Auth-Challenge', '1', 'X-Thing', 'b']
  const allowed = new Set(['authorization', 'x-team-key', 'no-auth-challenge', 'x-thing', 'cookie'])
  assert.deepEqual(sent(headers), ['X-Thing: b', ...ours])
  assert.deepEqual(sent(headers, { allowed }), ['X-Thing: b', ...ours])
  assert.deepEqual(sent(headers, { allowed, isDelegated: true }), [
    'Authorization: Bearer x',
    'X-Team-Key: k',
    'X-Thing: b',
    ...ours,
  ])
  assert.deepEqual(sent(['Cookie', 'a=1; session=t; b=2', 'Cookie', 'session=t'], { allowed }), [
    'Cookie: a=1; b=2',
    ...ours,
  ])
})

test('an allow list passes what it names, a delegated credential included, and what a body is read by', () => {
  const allowed = new Set(['authorization', 'accept'])
  assert.deepEqual(
    sent(['Authorization', 'Bearer x', 'Accept', 'a', 'X-Thing', 'b', 'Cookie', 'c', 'Content-Type', 'text/plain'], {
      allowed,
      isDelegated: true,
    }),
    ['Authorization: Bearer x', 'Accept: a', 'Content-Type: text/plain', ...ours],
  )
})

test('identity headers are set so that no reader takes them for more', () => {
  const lines = sent(['X-Id', 'root', 'x_id', 'root'], {
    reserved: new Set(['x-id']),
    identity: { id: 'X-Id', roles: 'X-Roles', claims: [], signed: undefined },
  })
  assert.deepEqual(lines, [...ours, 'X-Id: a%2C%0D%0AX-Admin:%201', 'X-Roles: a,b%2Cc'])
  assert.equal(headerValue('alice@example.org'), 'alice@example.org')
  assert.equal(headerValue('100% ünique'), '100%25%20%C3%BCnique')
  assert.equal(headerValue('\ud800'), '%EF%BF%BD')
  for (let code = 0; code < 0x300; code++) assert.match(headerValue(String.fromCharCode(code)), /^[\x21-\x7e]+$/)
})

test('a route with fields asks for a whole, plain answer; a write keeps its precondition', () => {
  const conditional = [
    'Range',
    'bytes=0-1',
    'If-Range',
    'x',
    'If-None-Match',
    'x',
    'If-Match',
    'y',
    'Accept-Encoding',
    'gzip',
  ]
  assert.deepEqual(sent(conditional, {}, 'GET', true), ['Accept-Encoding: identity', ...ours])
  assert.deepEqual(sent(conditional, {}, 'PUT', true), [
    'If-None-Match: x',
    'If-Match: y',
    'Accept-Encoding: identity',
    ...ours,
  ])
  assert.equal(sent(conditional).length, 5 + ours.length)
})

const plain: AnswerContext = {
  requestId: 'r-1',
  length: undefined,
  replaced: false,
  token: [],
  own: [],
  isPrivate: false,
  maxAge: undefined,
  ownsCors: false,
}

test('no shared cache keeps what was for one caller', () => {
  const rows: readonly (readonly [readonly string[], Partial<AnswerContext>, readonly string[]])[] = [
    [['public, max-age=60'], {}, ['public, max-age=60']],
    [['public, max-age=60'], { isPrivate: true }, ['private, max-age=60']],
    [['max-age=60', 'S-MaxAge = 90'], { isPrivate: true }, ['private, max-age=60']],
    [['no-store'], { isPrivate: true }, ['private, no-store']],
    [['private="X-A, X-B", max-age=5'], { isPrivate: true }, ['private, max-age=5']],
    [
      ['proxy-revalidate,, PUBLIC ,stale-while-revalidate=3'],
      { isPrivate: true },
      ['private, stale-while-revalidate=3'],
    ],
    [['x="a, public", "'], { isPrivate: true }, ['private, x="a, public"']],
    [[], { isPrivate: true }, ['private']],
    [['public, max-age=60'], { maxAge: 5 }, ['public, max-age=5']],
    [['public, max-age=60'], { isPrivate: true, maxAge: 5 }, ['private, max-age=5']],
    [['public'], { isPrivate: true, maxAge: 5, token: ['Auth-Token', 't'] }, ['private, no-store']],
    [['public'], { isPrivate: true, maxAge: 5, replaced: true }, ['private, no-store']],
  ]
  for (const [values, context, expected] of rows) {
    const raw = values.flatMap(value => ['Cache-Control', value])
    const headers = answerHeaders([...raw, 'CDN-Cache-Control', 'max-age=9'], { ...plain, ...context })
    const found = headers.flatMap((text, at) => (at % 2 === 1 && headers[at - 1] === 'Cache-Control' ? [text] : []))
    assert.deepEqual(found, expected, JSON.stringify([values, context]))
    assert.equal(headers.includes('CDN-Cache-Control'), context.isPrivate !== true)
  }
})

test('an answer keeps what is the upstream’s and loses what is between two neighbours', () => {
  const raw = [
    ...[
      'Server',
      'x',
      'Connection',
      'close, X-Hop',
      'X-Hop',
      '1',
      'Keep-Alive',
      'timeout=5',
      'Transfer-Encoding',
      'chunked',
    ],
    ...[
      'Set-Cookie',
      'a',
      'Set-Cookie',
      'b',
      'ETag',
      '"e"',
      'X-Request-Id',
      'forged',
      'Cache-Control',
      'public',
      'Alt-Svc',
      'h3=":1"',
    ],
  ]
  assert.deepEqual(answerHeaders(raw, { ...plain, length: 5 }), [
    ...[
      'Server',
      'x',
      'Set-Cookie',
      'a',
      'Set-Cookie',
      'b',
      'ETag',
      '"e"',
      'Cache-Control',
      'public',
      'Content-Length',
      '5',
    ],
    ...['X-Request-Id', 'r-1'],
  ])
  assert.deepEqual(answerHeaders(raw, { ...plain, replaced: true }), [
    ...[
      'Server',
      'x',
      'Set-Cookie',
      'a',
      'Set-Cookie',
      'b',
      'Cache-Control',
      'private, no-store',
      'X-Request-Id',
      'r-1',
    ],
  ])
})

test('what counts as JSON', () => {
  const rows: readonly (readonly [string | undefined, ReturnType<typeof bodyKind>])[] = [
    ['application/json', 'json'],
    ['Application/JSON ; charset=UTF-8', 'json'],
    ['application/json; charset="utf-8"', 'json'],
    ['application/problem+json', 'json'],
    ['application/vnd.shop.v1+json', 'json'],
    ['application/json; charset=utf-16', 'unreadable'],
    ['application/json; charset=latin1', 'unreadable'],
    ['application/json-patch+json', 'other'],
    ['application/x-ndjson', 'other'],
    ['application/json-seq', 'other'],
    ['application/jsonp', 'other'],
    ['text/json', 'other'],
    ['text/html', 'other'],
    ['', 'other'],
    [undefined, 'other'],
  ]
  for (const [type, kind] of rows) assert.equal(bodyKind(type), kind, type)
})

test('a Referer goes on without the credentials that its query holds', () => {
  const policy = { carriers: carriersOf([{ carries: { headers: [], query: ['api_key'] } }]) }
  const rows = [
    ['https://gate.example/p?api_key=secret', 'https://gate.example/p'],
    ['https://gate.example/p?a=1&api%5Fkey=secret&b=?', 'https://gate.example/p?a=1&b=?'],
    ['https://gate.example/p?a=1', 'https://gate.example/p?a=1'],
    ['https://gate.example/p', 'https://gate.example/p'],
    ['/p?api_key=secret#f', '/p'],
  ] as const
  for (const [given, expected] of rows) {
    assert.deepEqual(sent(['Referer', given], policy), [`Referer: ${expected}`, ...ours], given)
  }
})
