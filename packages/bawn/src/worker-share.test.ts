import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from './config/load.ts'
import { shareOf } from './worker-share.ts'

test('what a file permits in connections is divided, rounded down, and nothing else changes', () => {
  const file = new URL('config/example.yaml', import.meta.url)
  const loaded = parseConfig('/etc/bawn/bawn.yaml', readFileSync(file))
  assert(loaded.kind === 'ok')
  const { config } = loaded
  const share = shareOf(config, 3)
  const numbers = (of: typeof config): readonly unknown[] =>
    [of.listeners, of.upstreams, of.accounts].flatMap(section =>
      Object.values<object>(section).flatMap(entry => ('max_connections' in entry ? entry.max_connections : [])),
    )
  assert.ok(numbers(config).length > 2)
  assert.deepEqual(
    numbers(share),
    numbers(config).map(number => Math.floor(Number(number) / 3)),
  )
  const without = (of: typeof config): unknown =>
    JSON.parse(JSON.stringify(of, (name, value) => (name === 'max_connections' ? undefined : value)))
  assert.deepEqual(without(share), without(config))
  const [name = '', database] = Object.entries(config.databases)[0] ?? []
  assert(database !== undefined)
  const pool = { mode: 'session' as const, size: 20, idle_timeout: 1, lifetime: 1 }
  const pooled = shareOf({ ...config, databases: { [name]: { ...database, pool } } }, 3)
  assert.equal(pooled.databases[name]?.pool?.size, 6)
})
