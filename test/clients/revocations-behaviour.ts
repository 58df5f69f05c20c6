import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { bearer, eventually, type IssuedGateways, type IssuedNode, startIssuedGateways } from '../revocations-kit.ts'

/** What holds wherever revocations are kept; two gateways. @param section of the configuration. @param workers of each gateway */
export function testRevocations(name: string, section: (folder: string) => string, workers = 1): void {
  describe(`revocations in ${name}`, () => {
    let gateways: IssuedGateways
    let one: IssuedNode
    let other: IssuedNode
    before(async () => {
      gateways = await startIssuedGateways(folder => ({
        sections: `workers: ${workers}\nrevocations: ${section(folder)}`,
      }))
      const [first, second] = gateways.nodes
      assert(first && second)
      one = first
      other = second
    })
    after(() => gateways?.stop())

    /** At every worker, as far as a few connections come to each; all have to be of one mind when something was acknowledged. */
    const statuses = async (node: IssuedNode, headers: Record<string, string>): Promise<string> => {
      const tries = Array.from({ length: workers === 1 ? 1 : 12 }, async () => (await node.ask(headers)).status)
      return [...new Set(await Promise.all(tries))].sort().join(' ')
    }
    const status = async (node: IssuedNode, token: string): Promise<number> =>
      Number(await statuses(node, bearer(token)))
    const query = (choice: Record<string, string>): string => String(new URLSearchParams(choice))
    const past = 60_000

    const rows: readonly {
      readonly name: string
      readonly claims: object
      readonly choice: (issuer: string) => Record<string, string>
      readonly spared: () => object
    }[] = [
      {
        name: 'by jti',
        claims: { jti: 't-1' },
        choice: () => ({ claim: 'jti', value: 't-1' }),
        spared: () => ({ jti: 't-2' }),
      },
      {
        name: 'by subject',
        claims: { sub: 'mallory' },
        choice: () => ({ claim: 'sub', value: 'mallory' }),
        spared: () => ({}),
      },
      {
        name: 'by a number',
        claims: { uid: 42 },
        choice: () => ({ claim: 'uid', value: '42' }),
        spared: () => ({ uid: 421 }),
      },
      {
        name: 'by a number that no double holds',
        // As a parser of JSON reads the text below.
        claims: { big: Number('9007199254740993') },
        choice: () => ({ claim: 'big', value: '9007199254740993' }),
        spared: () => ({ big: 1 }),
      },
      {
        name: 'by a member of a list',
        claims: { groups: ['staff', 'leavers', 7] },
        choice: () => ({ claim: 'groups', value: 'leavers' }),
        spared: () => ({ groups: ['staff'] }),
      },
      {
        name: 'by a claim within a claim',
        claims: { device: { id: 'd-1' } },
        choice: () => ({ claim: 'device.id', value: 'd-1' }),
        spared: () => ({ device: { id: 'd-2' } }),
      },
      {
        name: 'by a claim, before an instant',
        claims: { team: 'red' },
        choice: () => ({ claim: 'team', value: 'red', not_before: new Date(Date.now() - past / 2).toISOString() }),
        spared: () => ({ team: 'red', iat: Math.floor(Date.now() / 1000) }),
      },
      {
        name: 'of this issuer only',
        claims: { sub: 'pat' },
        choice: issuer => ({ claim: 'sub', value: 'pat', issuer }),
        spared: () => ({ sub: 'patricia' }),
      },
    ]
    for (const row of rows) {
      test(`${row.name}: at both nodes, cached or not, and no other token; restored it is good again`, async t => {
        const [token, spared] = [gateways.token(row.claims), gateways.token(row.spared())]
        for (const node of [one, other]) assert.equal(await status(node, token), 200)
        const choice = row.choice(gateways.issuer)
        const { status: answered, body } = await one.admin('POST', `/revocations/revoke?${query(choice)}`)
        assert.equal(answered, 200, JSON.stringify(body))
        assert.equal(await status(one, token), 401, 'acknowledged is in force')
        const ms = await eventually('the other node', async () => (await status(other, token)) === 401)
        t.diagnostic(`at the other node after ${Math.round(ms)} ms`)
        for (const node of [one, other]) {
          assert.equal(await status(node, spared), 200)
          assert(/"decision":"deny"[^\n]*revoked/.test(node.trail()))
        }
        delete choice['not_before']
        assert.deepEqual((await other.admin('POST', `/revocations/restore?${query(choice)}`)).body, { restored: true })
        for (const node of [one, other]) {
          await eventually('restored', async () => (await status(node, token)) === 200)
        }
      })
    }

    test('an API key', async () => {
      const ask = async (node: IssuedNode): Promise<number> =>
        Number(await statuses(node, { 'x-api-key': gateways.apiKey }))
      assert.equal(await ask(other), 200)
      const revoked = await gateways.run(0, 'tokens', 'revoke', '--api-key', 'nightly')
      assert.deepEqual(revoked, { status: 0, output: 'revoked for good\n' })
      assert.equal(await ask(one), 401)
      await eventually('the other node', async () => (await ask(other)) === 401)
      assert.equal((await gateways.run(1, 'tokens', 'restore', '--api-key', 'nightly')).status, 0)
      await eventually('restored', async () => (await ask(one)) === 200)
    })

    test('sessions at PostgreSQL and answers that go on end at both nodes, and nobody else’s', async () => {
      const [token, spared] = [gateways.token({ sub: 'eve' }), gateways.token({ sub: 'adam' })]
      const sessions = await Promise.all([one, other].map(node => node.connect('eve', token)))
      const streams = await Promise.all([one, other].map(node => node.listen(bearer(token))))
      const adam = await other.connect('adam', spared)
      const adams = await other.listen(bearer(spared))
      const cut = streams.map(stream => once(stream, 'error'))
      const running = assert.rejects(sessions[1]?.client.query('select pg_sleep(120)') ?? Promise.resolve(), {
        code: '57P01',
      })
      const revoked = await gateways.run(0, 'tokens', 'revoke', '--claim', 'sub=eve', '--keep', '1h')
      assert.match(revoked.output, /^revoked until 20/)
      assert.equal(revoked.status, 0)
      assert.equal(await sessions[0]?.ended, '57P01')
      await running
      for (const each of cut) assert.equal((await each)[0].code, 'ECONNRESET')
      await assert.rejects(one.connect('eve', token), { code: '28P01' })
      assert.equal((await adam.client.query('select 1 as one')).rows[0].one, 1)
      assert.equal(adams.destroyed, false)
      adams.destroy()
      await adam.client.end()
    })

    test('a token of ours that was issued for one of these ends with it', async () => {
      const token = gateways.token({ sub: 'nora' })
      const ours = (await one.ask(bearer(token))).headers.get('auth-token') ?? assert.fail()
      assert.equal(await status(other, ours), 200)
      await one.admin('POST', '/revocations/revoke?claim=sub&value=nora')
      await eventually('ours', async () => (await status(other, ours)) === 401)
    })

    test('KrakenD’s routes, with the door’s token alone', async () => {
      assert.equal((await fetch(`http://${one.desk}/tokens/jti/k-1`, { method: 'POST' })).status, 401)
      assert.equal((await one.admin('GET', '/tokens/jti/k%2F1')).body['revoked'], false)
      const { status: answered, body } = await one.admin('POST', '/tokens/jti/k%2F1')
      assert.deepEqual([answered, body['revoked']], [200, true])
      await eventually(
        'the other',
        async () => (await other.admin('GET', '/tokens/jti/k%2F1')).body['revoked'] === true,
      )
      assert.equal(await status(one, gateways.token({ jti: 'k/1' })), 401)
      assert.equal((await one.admin('DELETE', '/tokens/jti/x')).status, 405)
      for (const path of ['/tokens/jti', '/tokens/a/b/c', '/tokens//x']) {
        assert.equal((await one.admin('POST', path)).status, 404, path)
      }
      assert.equal((await one.admin('POST', '/tokens/jti/%zz')).status, 400)
    })

    test('what is not meant is refused, and what was done is in the trail', async () => {
      for (const wrong of [
        '',
        'claim=sub',
        'value=x',
        'claim=sub&value=',
        'claim=sub&value=a&claim=jti',
        'claim=sub&value=a&until=1h',
        'claim=sub&value=a&keep=soon',
        'claim=sub&value=a&not_before=yesterday',
        'issuer=nobody',
        'api_key=nobody',
        'api_key=nightly&claim=sub&value=a',
        'claim=sub&value=a%0Ab',
      ]) {
        const { status: answered, body } = await one.admin('POST', `/revocations/revoke?${wrong}`)
        assert.deepEqual([answered, body['code']], [400, 'admin.revocation'], wrong)
      }
      assert.match(one.trail(), /"claimedName":"[^"]+"[^\n]*"action":"token revoke","resource":"sub=eve"/)
      const listed = await gateways.run(1, 'tokens', 'revoked', '--json')
      assert(JSON.parse(listed.output).some((row: { value?: string }) => row.value === 'eve'))
      assert.equal((await gateways.run(0, 'tokens', 'restore', '--jti', 'never')).status, 1)
      assert.equal((await gateways.run(0, 'tokens', 'revoke', '--not-before', 'now')).status, 2)
    })

    test('a reload keeps them', async () => {
      const token = gateways.token({ sub: 'ruth' })
      await one.admin('POST', '/tokens/sub/ruth')
      await one.reload()
      assert.equal(await status(one, token), 401)
    })

    test('kill -9 while revoking: what was acknowledged is in force, here and there', async () => {
      for (let round = 0; round < 3; round++) {
        const acknowledged: string[] = []
        const revoking = (async () => {
          for (let n = 0; ; n++) {
            const jti = `kill-${round}-${n}`
            if ((await one.admin('POST', `/tokens/jti/${jti}`)).status !== 200) return
            acknowledged.push(jti)
          }
        })().catch(() => {})
        await eventually('some', async () => acknowledged.length > 20 + round * 7)
        await one.kill()
        await revoking
        await one.restart()
        for (const node of [one, other]) {
          await eventually('all of them', async () => {
            const { body } = await node.admin('GET', '/revocations')
            const known = new Set((body['revocations'] as { value: string }[]).map(({ value }) => value))
            return acknowledged.every(jti => known.has(jti))
          })
        }
        const last = acknowledged.at(-1) ?? assert.fail()
        for (const node of [one, other]) assert.equal(await status(node, gateways.token({ jti: last })), 401)
      }
    })

    test('whatever is revoked and restored at both nodes in any order, both come to know the same', async t => {
      const seed = Number(process.env['BAWN_TEST_SEED'] ?? Date.now() % 100_000)
      t.diagnostic(`BAWN_TEST_SEED=${seed}`)
      let state = seed
      const draw = (below: number): number => {
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
        return Math.floor((state / 2_147_483_648) * below)
      }
      const model = new Map<string, boolean>()
      const steps = Array.from({ length: 12 }, () =>
        Array.from({ length: 10 }, () => ({ value: `r-${draw(8)}`, at: draw(2), revoke: draw(3) > 0 })),
      )
      for (const step of steps) {
        // Of each value one change at a time, so that there is one right end; of all of them many at once.
        const changes = [...new Map(step.map(change => [change.value, change])).values()]
        await Promise.all(
          changes.map(async ({ value, at, revoke }) => {
            const path = `/revocations/${revoke ? 'revoke' : 'restore'}?claim=jti&value=${value}`
            assert.equal((await [one, other][at]?.admin('POST', path))?.status, 200)
            model.set(value, revoke)
          }),
        )
        for (const node of [one, other]) {
          for (const [value, isRevoked] of model) {
            const token = gateways.token({ jti: value })
            await eventually(`${value} of ${seed}`, async () => (await status(node, token)) === (isRevoked ? 401 : 200))
          }
        }
      }
    })

    test('everything that an issuer has issued until now, and nothing that it issues afterwards', async () => {
      const seconds = Math.floor(Date.now() / 1000)
      const [before, later] = [gateways.token({}), gateways.token({ iat: seconds + 30, exp: seconds + 1_800 })]
      const ours = (await one.ask(bearer(before))).headers.get('auth-token') ?? assert.fail()
      const session = await other.connect('jane', before)
      const revoked = await gateways.run(1, 'tokens', 'revoke', '--issuer', 'corp', '--not-before', 'now')
      assert.equal(revoked.status, 0, revoked.output)
      assert.equal(await session.ended, '57P01')
      for (const node of [one, other]) {
        await eventually('before', async () => (await status(node, before)) === 401)
        assert.equal(await status(node, ours), 401)
        assert.equal(await status(node, later), 200)
      }
      const fresh = (await one.ask(bearer(later))).headers.get('auth-token') ?? assert.fail()
      assert.equal(await status(other, fresh), 200, 'a token of ours that was issued since')
    })
  })
}
