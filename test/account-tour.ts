import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type AccountGateways, askHttp, connectAs, logIn, startAccountGateways } from './account-gateway.ts'

// What every account store in a database does for running gateways; each suite runs it with the stores that it can start.

export interface TouredStore {
  /** The store in YAML, in one line. */
  readonly store: (secret: AccountGateways['secret']) => string
  /** Of the gateway there: in no log. */
  readonly password: string
  kill(): Promise<void>
  again(): Promise<void>
  stop(): Promise<void>
}

export interface Tour {
  readonly kind: string
  /** Has a new account a SCRAM verifier? */
  readonly scram: boolean
  readonly holdsGrants: boolean
  start(): Promise<TouredStore>
}

export function accountStoreTour({ kind, scram, holdsGrants, start }: Tour): void {
  const right = { http: 200, scram: scram ? 'ok' : '28P01', password: 'ok' }
  const wrong = { http: 401, scram: '28P01', password: '28P01' }
  const undecided = { http: 503, scram: '57P03', password: '57P03' }
  let toured: TouredStore
  let gateways: AccountGateways

  before(async () => {
    toured = await start()
    gateways = await startAccountGateways(toured.store, 2, holdsGrants)
    const users = ['ann', 'bea', 'cleo', 'dora', 'eve', 'fay', 'gus']
    const list = users.map(user => `  - { userid: ${user}, password: correct horse, roles: [staff] }\n`)
    const file = gateways.secret('users.yml', `users:\n${list.join('')}`)
    assert.match(await accounts(['import', '--format', 'users_yml', file]), /^imported 7 users$/m)
  })
  after(async () => {
    await gateways?.stop()
    await toured?.stop()
  })

  const accounts = (args: readonly string[], stdin?: string) => gateways.run(['accounts', ...args], stdin)
  const everywhere = async (user: string, password: string, wanted: typeof right): Promise<void> => {
    for (const node of gateways.nodes) assert.deepEqual(await logIn(node, user, password), wanted)
  }

  // A user for each: failed logins slow down the ones that follow.

  test(`${kind}: who is added at the command line logs in at both doors of both nodes`, async () => {
    await accounts(['add', 'hal', '--role', 'staff'], 'correct horse\n')
    await everywhere('hal', 'correct horse', right)
    await everywhere('ann', 'correct horse', right)
    await everywhere('ann', 'correct hors', wrong)
    const listed = JSON.parse(await accounts(['list', '--json']))
    assert.equal(listed.length, 8)
    const { kind: _, ...ann } = listed[0]
    assert.deepEqual(ann, { name: 'ann', roles: ['staff'], password: true, locked: false })
    await accounts(['remove', 'hal'])
    await everywhere('hal', 'correct horse', wrong)
  })

  test(`${kind}: a new password holds at the next login at every node, and the old one does not`, async () => {
    await everywhere('bea', 'correct horse', right)
    await accounts(['passwd', 'bea'], 'another horse\n')
    await everywhere('bea', 'correct horse', wrong)
    await everywhere('bea', 'another horse', right)
  })

  test(`${kind}: a lock holds at the next login, and ends the sessions that are open`, async () => {
    const ended: Promise<void>[] = []
    for (const node of gateways.nodes) {
      const client = await connectAs(node, 'cleo', 'correct horse', 'password')
      ended.push(new Promise(resolve => client.once('end', () => resolve())))
    }
    await everywhere('cleo', 'correct horse', right)
    await accounts(['lock', 'cleo'])
    await everywhere('cleo', 'correct horse', wrong)
    await Promise.all(ended)
    await accounts(['unlock', 'cleo'])
    await everywhere('cleo', 'correct horse', right)
  })

  test(`${kind}: other roles hold at the next login at every node`, async () => {
    await everywhere('dora', 'correct horse', right)
    await accounts(['roles', 'dora', 'guest'])
    await everywhere('dora', 'correct horse', { http: 403, scram: scram ? '42501' : '28P01', password: '42501' })
    await accounts(['roles', 'dora', 'staff'])
    await everywhere('dora', 'correct horse', right)
  })

  if (holdsGrants) {
    test(`${kind}: what is granted and denied at the command line holds at every node within a second`, async () => {
      const become = async (wanted: number): Promise<void> => {
        const changedAt = performance.now()
        for (const node of gateways.nodes) {
          while ((await askHttp(node, 'gus', 'correct horse', '/granted')) !== wanted) {
            // A busy machine may take longer for the look itself; a node that never looks does not come here.
            assert(performance.now() - changedAt < 10_000, `${wanted} is awaited`)
          }
        }
      }
      const database = ['--database', 'shop']
      await become(403)
      await accounts(['create-role', 'staff'])
      await accounts(['grant', 'staff', 'DQL', ...database])
      await become(200)
      await accounts(['deny', 'gus', 'DQL', ...database])
      await become(403)
      await accounts(['revoke', 'gus', 'DQL', ...database])
      await become(200)
      assert.match(await gateways.run(['explain', 'grant', 'DQL', '--user', 'gus', ...database]), /permitted/)
      await accounts(['drop-role', 'staff']).then(assert.fail, error => assert.match(String(error), /role_in_use/))
    })
  }

  test(`${kind}: while its database is away nothing is decided, and a second afterwards all is as before`, async t => {
    const ready = async (at: number): Promise<{ readonly status: number; readonly body: string }> => {
      const answer = await fetch(gateways.nodes[at]?.ready ?? '')
      return { status: answer.status, body: await answer.text() }
    }
    assert.equal((await ready(0)).status, 200)
    let over = false
    const seen = new Set<number>()
    // Somebody logs in all the time: nobody is told that the password is wrong.
    const logins = (async () => {
      const [node] = gateways.nodes
      while (!over && node !== undefined) seen.add(await askHttp(node, 'fay', 'correct horse'))
    })()
    while (seen.size === 0) await turn()
    await toured.kill()
    for (const [user, password] of [
      ['eve', 'correct horse'],
      ['eve', 'wrong'],
      ['nobody-knows', 'wrong'],
    ] as const) {
      await everywhere(user, password, undecided)
    }
    const away = await ready(0)
    assert.equal(away.status, 503)
    assert.match(away.body, /accounts people/)
    // One that starts meanwhile serves, and says what is missing.
    const late = await gateways.start()
    assert.match(late.log(), /nobody of account store people can log in until it can be asked/)
    assert.deepEqual(await logIn(late, 'eve', 'correct horse'), undecided)

    await toured.again()
    // Accounts are asked at each login; grants are looked at twice a second.
    const backAt = performance.now()
    for (const node of gateways.nodes) {
      while ((await logIn(node, 'eve', 'correct horse')).password === undecided.password) {
        assert(performance.now() - backAt < 10_000, 'the store is back, and is not asked')
      }
    }
    await everywhere('eve', 'correct horse', right)
    await everywhere('eve', 'wrong', wrong)
    over = true
    await logins
    assert.deepEqual([...seen].sort(), [200, 503])
    assert.equal((await ready(0)).status, 200)
    for (const node of gateways.nodes) {
      assert.doesNotMatch(node.log(), /another horse|correct horse|argon2id|SCRAM-SHA-256\$|\$2a\$/)
      assert(!node.log().includes(toured.password))
    }
    t.diagnostic(`${kind}: logins meanwhile ended with ${[...seen].join(' and ')}`)
  })
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
