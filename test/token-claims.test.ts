import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { bearer, eventually, type IssuedGateways, type IssuedNode, startIssuedGateways } from './revocations-kit.ts'

// Claims that the configuration names go along into tokens of the gateway's own: exact, for policies, limits and headers, and for revocations.

const signingKey = randomBytes(32).toString('base64')
const kinds: readonly (readonly [name: string, tokens: (folder: string) => string])[] = [
  ['random', () => 'kind: sqlite, path: tokens.db'],
  [
    'signed',
    folder => {
      writeFileSync(join(folder, 'signing.key'), signingKey, { mode: 0o600 })
      return 'kind: signed, key: "file:signing.key", revocations: { kind: sqlite, path: tokens.db }'
    },
  ],
]

/** An integer as it is written: no double holds these. */
const raw = (text: string): unknown => (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text)

const claims = {
  sub: 'ann',
  tenant: 'acme',
  account: raw('9007199254740993'),
  groups: ['staff', raw('9007199254740995')],
  nested: { level: 3, name: 'ö"\\' },
  secret: 'stays',
}

for (const [kind, tokens] of kinds) {
  describe(`claims in ${kind} tokens`, () => {
    let gateways: IssuedGateways
    let one: IssuedNode
    let other: IssuedNode
    before(async () => {
      gateways = await startIssuedGateways(folder => ({
        tokens: `{ ${tokens(folder)}, claims: [sub, tenant, account, groups, nested] }`,
        sections: `revocations: { kind: sqlite, path: revocations.db }
policies:
  exact: identity.claims.account == 9007199254740993
  neighbour: identity.claims.account == 9007199254740992
  group: 9007199254740995 in identity.claims.groups && identity.claims.nested.name == 'ö"\\\\'
  own: identity.claims.sub == identity.id && identity.claims.nested.level == 3
  secret: identity.claims.secret == 'stays'
`,
        routes: ['exact', 'neighbour', 'group', 'own', 'secret']
          .map(name => `  - { path: /${name}, methods: [GET], upstream: who, allow: [${name}] }\n`)
          .concat(
            '  - { path: /tenant, methods: [GET], upstream: who, allow: [authenticated], identity_headers: { claims: { X-User: tenant } } }\n',
          )
          .join(''),
      }))
      const [first, second] = gateways.nodes
      assert(first && second)
      one = first
      other = second
    })
    after(() => gateways?.stop())

    const exchange = async (given: object): Promise<string> => {
      const answer = await one.ask(bearer(gateways.token(given)))
      assert.equal(answer.status, 200)
      return answer.headers.get('auth-token') ?? assert.fail('no token of ours')
    }

    test('policies and headers see them, exactly, at every node, and no others', async () => {
      const ours = await exchange(claims)
      for (const node of [one, other]) {
        for (const [path, status] of [
          ['/exact', 200],
          ['/neighbour', 403],
          ['/group', 200],
          ['/own', 200],
          ['/secret', 403],
        ] as const)
          assert.equal((await node.ask(bearer(ours), path)).status, status, path)
        assert.equal(await (await node.ask(bearer(ours), '/tenant')).text(), 'acme')
      }
    })

    test('two tokens that differ in one of them are two', async () => {
      const neighbour = await exchange({ ...claims, account: raw('9007199254740992') })
      assert.notEqual(neighbour, await exchange(claims))
      assert.equal((await one.ask(bearer(neighbour), '/exact')).status, 403)
      assert.equal((await one.ask(bearer(neighbour), '/neighbour')).status, 200)
      const without = await exchange({ sub: 'ann' })
      assert.equal((await one.ask(bearer(without), '/exact')).status, 403)
    })

    for (const [claim, value, spared] of [
      ['tenant', 'acme', { ...claims, tenant: 'blue' }],
      ['account', '9007199254740993', { ...claims, account: 7 }],
      ['groups', 'staff', { ...claims, groups: [] }],
      ['nested.level', '3', { ...claims, nested: { level: 4, name: 'ö"\\' } }],
    ] as const) {
      test(`revoking by ${claim} ends them at both nodes, open sessions too, and no others`, async () => {
        const [ours, left] = [await exchange(claims), await exchange(spared)]
        const sessions = await Promise.all([one, other].map(node => node.connect('ann', ours, 'token')))
        const query = new URLSearchParams({ claim, value, issuer: gateways.issuer })
        assert.equal((await one.admin('POST', `/revocations/revoke?${query}`)).status, 200)
        for (const node of [one, other])
          await eventually('the revocation', async () => (await node.ask(bearer(ours))).status === 401)
        for (const { ended } of sessions) assert.equal(await ended, '57P01')
        for (const node of [one, other]) assert.equal((await node.ask(bearer(left))).status, 200)
        assert.deepEqual((await one.admin('POST', `/revocations/restore?${query}`)).body, { restored: true })
        await eventually('the other node', async () => (await other.ask(bearer(ours))).status === 200)
      })
    }

    test('where they are too long there is no token, and nothing is cut', async () => {
      const answer = await one.ask(bearer(gateways.token({ ...claims, tenant: 'x'.repeat(4_200) })))
      assert.equal(answer.status, 200)
      assert.equal(answer.headers.get('auth-token'), null)
      assert.match(one.log(), /tokens\.claims_too_long/)
    })
  })
}
