import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deriveArgon2idVerifier } from '../packages/bawn/src/accounts/argon2id.ts'
import { createHashQueue } from '../packages/bawn/src/accounts/hash-queue.ts'
import { createPasswordCheck } from '../packages/bawn/src/accounts/password.ts'
import { openSqliteAccounts } from '../packages/bawn/src/accounts/sqlite.ts'
import { createLoginThrottle } from '../packages/bawn/src/accounts/throttle.ts'

// Can it be told from the time of a failed login whether the user exists? Checks wrong passwords of a known, an unknown and a locked
// user, and the right one of a locked user, in random order, some thousand times, and prints how long each kind took and how well one
// can be told from the first: the share of pairs in which it was the slower one. 50 % is nothing to be told.
//
//   node bench/login-times.ts [tries of each kind, 1000] [KiB of Argon2id, 1024: a cheap hash hides less than a dear one]

const tries = Number(process.argv[2] ?? 1_000)
const memoryKib = Number(process.argv[3] ?? 1_024)
const cost = { memoryKib, passes: 1, parallelism: 1 }

const folder = mkdtempSync(join(tmpdir(), 'bawn-times-'))
const store = openSqliteAccounts({ name: 'staff', path: join(folder, 'accounts.db') })
for (let n = 0; n < 100; n += 1) {
  const password = await deriveArgon2idVerifier(randomBytes(9).toString('base64'), cost)
  await store.add({ name: `user${n}`, roles: ['staff'], scram: undefined, password, locked: n % 10 === 9 })
}
const password = await deriveArgon2idVerifier('pencil', cost)
await store.setVerifier('user9', { scram: undefined, password })

const endless = { burst: 1e9, intervalMs: 1 }
const now = () => performance.now()
const checks = createPasswordCheck({
  stores: [store],
  throttle: createLoginThrottle({ now, accountAndNetwork: endless, account: endless, network: endless }),
  now,
  queue: createHashQueue({ concurrency: 1 }),
})
const kinds = {
  'wrong password': () => ['user5', randomBytes(6).toString('hex')],
  'unknown user': () => [`user${100 + Math.floor(Math.random() * 900)}`, randomBytes(6).toString('hex')],
  'locked user': () => ['user19', randomBytes(6).toString('hex')],
  'locked user, right password': () => ['user9', 'pencil'],
} as const
type Kind = keyof typeof kinds
const names = Object.keys(kinds) as Kind[]
const times: Record<Kind, number[]> = {
  'wrong password': [],
  'unknown user': [],
  'locked user': [],
  'locked user, right password': [],
}
const order = names.flatMap(kind => Array.from({ length: tries }, () => ({ kind, at: Math.random() })))
order.sort((a, b) => a.at - b.at)
for (const { kind } of order) {
  const [user = '', text = ''] = kinds[kind]()
  const begun = performance.now()
  const outcome = await checks.check(user, text, '192.0.2.1')
  times[kind].push(performance.now() - begun)
  if (outcome.kind !== 'wrong') throw new Error(`${kind} was ${outcome.kind}`)
}
await checks.close()
await store.close()
rmSync(folder, { recursive: true, force: true })

/** Share of pairs in which the second was slower: the statistic of Mann and Whitney. */
function slower(first: readonly number[], second: readonly number[]): number {
  const sorted = [...first].sort((a, b) => a - b)
  let sum = 0
  for (const time of second) {
    let [low, high] = [0, sorted.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sorted[middle] ?? 0) < time) low = middle + 1
      else high = middle
    }
    sum += low
  }
  return sum / (first.length * second.length)
}
const at = (sorted: readonly number[], share: number): string =>
  (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(3)
console.log(`${tries} tries of each kind, argon2id with ${memoryKib} KiB; ms`)
console.log(
  `${''.padEnd(30)}${'p5'.padStart(9)}${'median'.padStart(9)}${'p95'.padStart(9)}   slower than a wrong password`,
)
for (const kind of names) {
  const sorted = [...times[kind]].sort((a, b) => a - b)
  const share = (100 * slower(times['wrong password'], times[kind])).toFixed(1)
  const columns = [0.05, 0.5, 0.95].map(part => at(sorted, part).padStart(9)).join('')
  console.log(`${kind.padEnd(30)}${columns}   ${share} %`)
}
