import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { apiKeyHash } from '../packages/bawn/src/authn/api-key.ts'
import { bearer, eventually, type IssuedGateways, type IssuedNode, startIssuedGateways } from './revocations-kit.ts'

// A token of the gateway's own that was issued for a token of an issuer is worth no more than that one: at every node, open sessions too.

const signingKey = randomBytes(32).toString('base64')
const kinds: readonly (readonly [name: string, tokens: (folder: string) => string])[] = [
  ['random', () => '{ kind: sqlite, path: tokens.db }'],
  [
    'signed',
    folder => {
      writeFileSync(join(folder, 'signing.key'), signingKey, { mode: 0o600 })
      return '{ kind: signed, key: "file:signing.key", revocations: { kind: sqlite, path: tokens.db } }'
    },
  ],
]

const seconds = Math.floor(Date.now() / 1000)
const instant = (ago: number): string => new Date((seconds - ago) * 1000).toISOString()

/** Claims of the token that is revoked and of one that is not, of one subject if not said otherwise, and what is revoked. */
const rows: readonly {
  readonly name: string
  readonly claims: object
  readonly spared: object
  readonly choice: (issuer: string) => Record<string, string>
}[] = [
  {
    name: 'by jti',
    claims: { sub: 'ida', jti: 'o-1' },
    spared: { sub: 'ida', jti: 'o-2' },
    choice: () => ({ claim: 'jti', value: 'o-1' }),
  },
  {
    name: 'by jti of its issuer',
    claims: { sub: 'ines', jti: 'o-3' },
    spared: { sub: 'ines' },
    choice: issuer => ({ claim: 'jti', value: 'o-3', issuer }),
  },
  {
    name: 'by subject',
    claims: { sub: 'una' },
    spared: { sub: 'ursula' },
    choice: () => ({ claim: 'sub', value: 'una' }),
  },
  {
    name: 'by subject, issued before an instant',
    claims: { sub: 'pia', iat: seconds - 600 },
    spared: { sub: 'pia', iat: seconds - 60 },
    choice: () => ({ claim: 'sub', value: 'pia', not_before: instant(300) }),
  },
  {
    name: 'by issuer, issued before an instant',
    claims: { sub: 'oda', iat: seconds - 7_200 },
    spared: { sub: 'oda', iat: seconds - 60 },
    choice: issuer => ({ issuer, not_before: instant(3_600) }),
  },
]

for (const [kind, tokens] of kinds) {
  describe(`${kind} tokens that were issued for tokens of an issuer`, () => {
    let gateways: IssuedGateways
    let one: IssuedNode
    let other: IssuedNode
    before(async () => {
      gateways = await startIssuedGateways(folder => ({
        sections: 'revocations: { kind: sqlite, path: revocations.db }',
        tokens: tokens(folder),
      }))
      const [first, second] = gateways.nodes
      assert(first && second)
      one = first
      other = second
    })
    after(() => gateways?.stop())

    /** A token of ours for one of the issuer's: from the header of an answer. */
    const exchange = async (claims: object): Promise<string> => {
      const answer = await one.ask(bearer(gateways.token(claims)))
      assert.equal(answer.status, 200)
      return answer.headers.get('auth-token') ?? assert.fail('no token of ours')
    }
    const good = async (node: IssuedNode, token: string): Promise<boolean> => {
      const { status } = await node.ask(bearer(token))
      assert.ok(status === 200 || status === 401, String(status))
      return status === 200
    }

    for (const { name, claims, spared, choice } of rows) {
      test(`${name}: they end with it at both nodes, sessions and answers too, and no others`, async () => {
        const user = String(Object.getOwnPropertyDescriptor(claims, 'sub')?.value)
        const sparedUser = String(Object.getOwnPropertyDescriptor(spared, 'sub')?.value)
        const ours = await exchange(claims)
        const left = await exchange(spared)
        assert.notEqual(ours, left)
        const sessions = await Promise.all([one, other].map(node => node.connect(user, ours, 'token')))
        const streams = await Promise.all([one, other].map(node => node.listen(bearer(ours))))
        const cut = streams.map(stream => new Promise(resolve => stream.once('error', resolve)))
        const goesOn = await other.connect(sparedUser, left, 'token')
        const query = new URLSearchParams(choice(gateways.issuer))
        const { status, body } = await one.admin('POST', `/revocations/revoke?${query}`)
        assert.equal(status, 200, JSON.stringify(body))
        assert.equal(await good(one, ours), false, 'acknowledged is in force')
        await eventually('the other node', async () => !(await good(other, ours)))
        for (const { ended } of sessions) assert.equal(await ended, '57P01')
        await Promise.all(cut)
        await assert.rejects(other.connect(user, ours, 'token'), { code: '28P01' })
        for (const node of [one, other]) assert.equal(await good(node, left), true)
        assert.equal((await goesOn.client.query('select 1 as one')).rows[0].one, 1)
        await goesOn.client.end()
        query.delete('not_before')
        assert.deepEqual((await one.admin('POST', `/revocations/restore?${query}`)).body, { restored: true })
      })
    }

    test('an API key, and what was issued for it, by itself or its hash, and not the other one of its name', async () => {
      const [key, second] = [gateways.apiKey, gateways.secondKey]
      const hash = apiKeyHash(key)
      const withKey = (text: string): Record<string, string> => ({ 'x-api-key': text })
      const statuses = async (...headers: readonly Record<string, string>[]): Promise<number[]> =>
        (await Promise.all([one, other].flatMap(node => headers.map(each => node.ask(each))))).map(
          ({ status }) => status,
        )
      const exchangeKey = async (text: string): Promise<string> =>
        (await one.ask(withKey(text))).headers.get('auth-token') ?? assert.fail('no token of ours')
      const ours = await exchangeKey(key)
      const left = await exchangeKey(second)
      assert.notEqual(ours, left)
      const revoke = { post: (path: string) => async () => (await one.admin('POST', path)).status === 200 }
      const ways: readonly (readonly [way: string, revoke: () => Promise<boolean>])[] = [
        ['its hash', revoke.post(`/revocations/revoke?api_key=${hash}`)],
        ['the beginning of its hash', revoke.post(`/revocations/revoke?api_key=${hash.slice(0, 15)}`)],
        ['itself', revoke.post(`/revocations/revoke?api_key=${key}`)],
        ['itself, as KrakenD has it', revoke.post(`/tokens/api_key/${key}`)],
        ['its hash, as KrakenD has it', revoke.post(`/tokens/api_key/${hash}`)],
        ['bawn, its hash', async () => (await gateways.run(0, 'tokens', 'revoke', '--api-key', hash)).status === 0],
        [
          'bawn, itself',
          async () => (await gateways.runWith(`${key}\n`, 0, 'tokens', 'revoke', '--api-key-stdin')).status === 0,
        ],
      ]
      for (const [way, by] of ways) {
        assert.deepEqual(
          await statuses(withKey(key), bearer(ours), withKey(second), bearer(left)),
          Array(8).fill(200),
          way,
        )
        const session = await other.connect('nightly', ours, 'token')
        const goesOn = await other.connect('nightly', left, 'token')
        assert.equal(await by(), true, way)
        assert.equal((await one.ask(withKey(key))).status, 401, `${way}: acknowledged is in force`)
        assert.equal(await session.ended, '57P01', way)
        const expected = [401, 401, 200, 200]
        await eventually(way, async () => {
          const found = await statuses(withKey(key), bearer(ours), withKey(second), bearer(left))
          return String(found) === String([...expected, ...expected])
        })
        assert.equal((await goesOn.client.query('select 1 as one')).rows[0].one, 1)
        await goesOn.client.end()
        assert.equal((await one.admin('GET', `/tokens/api_key/${key}`)).body['revoked'], true)
        assert.equal((await one.admin('GET', `/tokens/api_key/${second}`)).body['revoked'], false)
        const restored = await one.admin('POST', `/revocations/restore?api_key=${hash.slice(0, 15)}`)
        assert.deepEqual(restored.body, { restored: true }, way)
        await eventually(
          'restored',
          async () => String(await statuses(withKey(key), bearer(ours))) === '200,200,200,200',
        )
      }
      for (const wrong of ['sha256:0', `sha256:${'0'.repeat(64)}`, `${key}x`, 'bawn_nobody']) {
        assert.equal((await one.admin('POST', `/revocations/revoke?api_key=${wrong}`)).status, 400, wrong)
      }
      assert.deepEqual((await one.admin('POST', `/revocations/restore?api_key=${key}x`)).body, { restored: false })
      await one.admin('POST', '/revocations/revoke?api_key=nightly')
      assert.equal((await one.admin('GET', `/tokens/api_key/${second}`)).body['revoked'], true, 'with all of its name')
      assert.equal((await one.ask(withKey(second))).status, 401)
      await one.admin('POST', '/revocations/restore?api_key=nightly')
      const written = gateways.written()
      assert.match(written, /"action":"token revoke","resource":"API key sha256:[0-9a-f]{16}"/)
      for (const secret of [key, second]) assert.ok(!written.includes(secret), 'a key is written nowhere')
    })

    test('by POST /token too, and after a restart of the node that has issued it', async () => {
      const answer = await fetch(`http://${one.web}/token`, {
        method: 'POST',
        headers: bearer(gateways.token({ sub: 'rosa', jti: 'o-9' })),
      })
      const { access_token: ours } = (await answer.json()) as { readonly access_token: string }
      assert.equal(await good(other, ours), true)
      await one.kill()
      await one.restart()
      assert.equal(await good(one, ours), true)
      await other.admin('POST', '/tokens/jti/o-9')
      assert.equal(await good(other, ours), false)
      await eventually('the first node', async () => !(await good(one, ours)))
    })
  })
}
