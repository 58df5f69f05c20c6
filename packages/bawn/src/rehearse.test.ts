import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from './config/load.ts'
import { plainKinds } from './kinds.ts'
import { rehearse } from './rehearse.ts'

const base = `listeners: { web: { door: http, address: 127.0.0.1:0 } }
upstreams: { orders: { url: http://127.0.0.1:3000 } }
issuers: { corp: { issuer: https://id.example, audience: [shop], jwks: https://id.example/jwks } }
host_rules: [{ use: [jwt] }]
keys: { store: { kind: directory, path: keys }, master: env:M, client_id: shop_fields }
audit: { file: audit.jsonl }
`

const rows = [
  ['nothing', '', undefined],
  ['a route', 'routes: [{ path: /a, methods: [GET], upstream: orders, allow: [authenticated] }]', undefined],
  [
    'a pattern that is none',
    'routes: [{ path: "/a/{b", methods: [GET], upstream: orders, allow: [anyone] }]',
    'http.bad_route',
  ],
] as const
for (const [name, more, code] of rows) {
  test(`building ${name} finds ${code ?? 'nothing wrong'}`, async () => {
    const loaded = parseConfig('bawn.yaml', new TextEncoder().encode(base + more))
    assert.equal(loaded.kind, 'ok', JSON.stringify(loaded))
    if (loaded.kind !== 'ok') return
    assert.deepEqual(
      (await rehearse(loaded.config, plainKinds)).map(error => error.code),
      code === undefined ? [] : [code],
    )
  })
}
