import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DatabaseHosts, type HostStanding, standingOf, type WantedHost } from './hosts.ts'
import { UpstreamRefusal } from './upstream-login.ts'

const connectTimeoutMs = 1_000

/** What each host is now: a standing, gone, or silent for its whole time-out, or a refusal of this SQLSTATE. */
type Is = HostStanding | 'gone' | 'silent' | `refuses ${string}`

function cluster(is: Record<string, Is>, replicas = true) {
  let now = 0
  const tried: string[] = []
  const closed: string[] = []
  const events: string[] = []
  const targets = Object.keys(is).map(host => ({ host, port: 5432, connectTimeoutMs }))
  const hosts = new DatabaseHosts(targets, {
    replicas,
    now: () => now,
    onEvent: event => events.push(`${event.address} ${event.kind}`),
  })
  /** @returns where it ended, or what was thrown; and who was tried for it, in order */
  const open = async (wanted: WantedHost): Promise<string> => {
    tried.length = 0
    const end = await hosts
      .open<string>(wanted, async ({ host }) => {
        tried.push(host)
        const what = is[host] ?? 'gone'
        if (what === 'silent') now += connectTimeoutMs
        if (what === 'gone' || what === 'silent') return { kind: 'unreachable', cause: new Error(what) }
        if (what.startsWith('refuses')) {
          const cause = new UpstreamRefusal(new Map([['C', what.slice(8)]]))
          if (what === 'refuses 3D000') throw cause
          return { kind: 'unreachable', cause }
        }
        const standing = standingOf([String(what === 'standby'), what === 'primary' ? 'off' : 'on'])
        return { kind: 'reached', standing, opened: host, close: () => closed.push(host) }
      })
      .catch((error: unknown) => {
        assert.ok(error instanceof Error)
        return error instanceof UpstreamRefusal ? (error.fields.get('C') ?? '') : error.message
      })
    return `${end} by ${tried.join(' ')}`
  }
  const pass = (ms: number): void => {
    now += ms
  }
  return { is, open, hosts, closed, events, pass }
}

const none = 'no host of the database is a primary'
const rows: readonly (readonly [
  name: string,
  is: Record<string, Is>,
  wanted: WantedHost,
  first: string,
  then: string,
])[] = [
  ['the primary, past a standby', { a: 'standby', b: 'primary' }, 'primary', 'b by a b', 'b by b'],
  ['a replica, past the primary', { a: 'primary', b: 'standby' }, 'replica', 'b by a b', 'b by b'],
  ['the primary, where there is no replica', { a: 'primary', b: 'gone' }, 'replica', 'a by a b', 'a by a'],
  ['only standbys', { a: 'standby', b: 'standby' }, 'primary', `${none} by a b`, `${none} by a b`],
  ['all are gone', { a: 'gone', b: 'gone' }, 'primary', `${none} by a b`, `${none} by a b`],
  ['one that says nothing', { a: 'silent', b: 'primary' }, 'primary', 'b by a b', 'b by b'],
  ['one that says nothing, for a replica', { a: 'silent', b: 'standby' }, 'replica', 'b by a b', 'b by b'],
  [
    'two that say nothing: the third comes next time',
    { a: 'silent', b: 'silent', c: 'primary' },
    'primary',
    `${none} by a b`,
    'c by c',
  ],
  ['one that is starting', { a: 'refuses 57P03', b: 'primary' }, 'primary', 'b by a b', 'b by b'],
  ['one that is full, and no other', { a: 'refuses 53300', b: 'standby' }, 'primary', '53300 by a b', '53300 by b a'],
  ['what no host would permit', { a: 'refuses 3D000', b: 'primary' }, 'primary', '3D000 by a', '3D000 by a'],
  ['a primary before one that is read-only', { a: 'read-only', b: 'primary' }, 'primary', 'b by a b', 'b by b'],
  ['one that is read-only before none', { a: 'read-only', b: 'standby' }, 'primary', 'a by a b', 'a by a b'],
]

for (const [name, is, wanted, first, then] of rows) {
  test(`of several hosts: ${name}`, async () => {
    const { open } = cluster(is)
    assert.equal(await open(wanted), first)
    assert.equal(await open(wanted), then)
  })
}

test('what was opened and is not used is closed', async () => {
  const { open, closed } = cluster({ a: 'primary', b: 'standby', c: 'standby' })
  await open('replica')
  assert.deepEqual(closed, ['a'])
  await open('primary')
  assert.deepEqual(closed, ['a'])
})

test('the new primary is found when there is one, and who follows is told', async () => {
  const { is, open, hosts, events } = cluster({ a: 'primary', b: 'standby' })
  const followed: string[] = []
  hosts.onPrimary(({ host }) => followed.push(host))
  assert.equal(await open('primary'), 'a by a')
  is['a'] = 'silent'
  assert.equal(await open('primary'), `${none} by a b`)
  is['b'] = 'primary'
  assert.equal(await open('primary'), 'b by b')
  is['a'] = 'standby'
  assert.equal(await open('primary'), 'b by b')
  assert.deepEqual(followed, ['a', 'b'])
  assert.deepEqual(events, ['a:5432 primary', 'a:5432 unreachable', 'b:5432 primary'])
  assert.equal(hosts.describe(), 'a:5432 unreachable, b:5432 primary')
})

test('an old primary that comes back as one does not take over from the new one', async () => {
  const { is, open, pass } = cluster({ a: 'primary', b: 'standby' })
  await open('primary')
  is['a'] = 'gone'
  is['b'] = 'primary'
  await open('primary')
  is['a'] = 'primary'
  assert.equal(await open('primary'), 'b by b')
  pass(11_000)
  // Who looks for a replica comes upon it, and nothing follows from that.
  assert.equal(await open('replica'), 'a by a b')
  assert.equal(await open('primary'), 'b by b')
})

test('after some seconds one try finds out whether a host is back, and nobody else waits with it', async () => {
  const { is, open, pass, events } = cluster({ a: 'silent', b: 'standby' })
  assert.equal(await open('replica'), 'b by a b')
  pass(9_000)
  assert.equal(await open('replica'), 'b by b')
  pass(2_000)
  assert.equal(await open('replica'), 'b by a b')
  assert.equal(await open('replica'), 'b by b')
  is['a'] = 'standby'
  pass(11_000)
  assert.equal(await open('replica'), 'a by a')
  assert.deepEqual(events, ['a:5432 unreachable', 'a:5432 reached'])
})

test('whatever is not said plainly is no primary', () => {
  assert.equal(standingOf([]), 'standby')
  assert.equal(standingOf([undefined, undefined]), 'standby')
  assert.equal(standingOf(['false', undefined]), 'read-only')
})
