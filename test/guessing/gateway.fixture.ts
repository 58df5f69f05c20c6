import { readFileSync } from 'node:fs'
import { createSharedThrottle } from '../../packages/bawn/src/accounts/shared-throttle.ts'
import { createLoginThrottle } from '../../packages/bawn/src/accounts/throttle.ts'
import { createMetrics } from '../../packages/bawn/src/audit/metrics.ts'
import { createNoncePlace, openNonceMemory } from '../../packages/bawn/src/authn/nonce-memory.ts'
import { compose } from '../../packages/bawn/src/compose.ts'
import { parseConfig } from '../../packages/bawn/src/config/load.ts'
import { resolveSecret } from '../../packages/bawn/src/config/secret.ts'
import { createHttpDoor } from '../../packages/bawn/src/http/door.ts'
import { plainKinds } from '../../packages/bawn/src/kinds.ts'
import { guessDigest, parseGuessKey } from '../../packages/bawn/src/limits/guess-key.ts'
import { createRateLimiter } from '../../packages/bawn/src/limits/rate-limit.ts'
import { SessionSlots } from '../../packages/bawn/src/limits/session-slots.ts'
import { createSharedCounts } from '../../packages/bawn/src/limits/shared-counts.ts'
import { createSharedTries } from '../../packages/bawn/src/limits/shared-tries.ts'
import { listenPostgres } from '../../packages/bawn/src/postgres/listener.ts'
import { connectRedis, redisTarget } from '../../packages/bawn/src/redis-connection.ts'
import { createMemoryTokenStore } from '../../packages/bawn/src/tokens/memory.ts'

// The gateway that login-times.test.ts measures, as a process of its own: both doors as they are, of a real configuration. Only the limits of
// guessing are out of the way, for some thousand tries have to be looked at, and the trail is not written. Where it says `guess_key`, tries are
// counted in Redis as well, as `compose-limits.ts` has it.

const [, , path = ''] = process.argv
const loaded = parseConfig(path, readFileSync(path))
if (loaded.kind !== 'ok') throw new Error(JSON.stringify(loaded.problems))
const { config } = loaded
const endless = { burst: 1e6, intervalMs: 10_000 }
const now = () => performance.now()
const local = createLoginThrottle({ now, accountAndNetwork: endless, account: endless, network: endless })
const { rate_limits: limits } = config

/** Ends the process where Redis does not answer: what was measured then would be something else. */
async function shared(options: NonNullable<typeof limits>) {
  const secret = (reference: string): string => resolveSecret(reference, process.env).value
  const target = redisTarget(options, secret)
  const connection = await connectRedis(target, { unavailable: message => new Error(message), answerMs: 10_000 })
  const tell = (isAway: boolean): void => {
    if (!isAway) return
    console.error('Redis does not answer')
    process.exit(1)
  }
  const digest = guessDigest(parseGuessKey(secret(options.guess_key ?? '')))
  return createSharedThrottle(local, createSharedTries(createSharedCounts(connection, { now, tell }), digest))
}

const composition = await compose(
  config,
  plainKinds,
  {
    trail: { emit: () => {}, commit: () => {}, head: '', close: async () => {} },
    metrics: createMetrics({ version: '0' }, 0),
    clock: Date.now,
    log: () => {},
    throttle: limits === undefined ? local : await shared(limits),
    limiter: createRateLimiter({ now }),
    slots: new SessionSlots(),
    nonces: openNonceMemory(createNoncePlace(0), 1),
    memoryTokens: createMemoryTokenStore(),
  },
  process.env,
)
let ids = 0
for (const [name, listener] of Object.entries(config.listeners)) {
  if (listener.door === 'http') {
    const deps = { requestId: () => `r${ids++}`, slots: new SessionSlots(), log: { error: () => {} } }
    const door = createHttpDoor({ name, listener, tls: undefined }, composition.http, deps)
    console.log(`http ${(await door.listen('127.0.0.1', 0)).port}`)
  } else if (listener.door === 'postgres') {
    const options = { ...listener, databases: undefined, name, tls: undefined }
    const opened = await listenPostgres({ host: '127.0.0.1', port: 0 }, options, composition.postgres)
    console.log(`postgres ${opened.address.port}`)
  }
}
console.log('ready')
