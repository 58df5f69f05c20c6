import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { compareFronts, fold, table } from './fronts.ts'
import { startGateway } from './gateway.ts'
import { install } from './install.ts'
import { servers, startNode } from './servers.ts'

// The same bytes at Bawn, and at what else people put in front of their services. `BAWN_SMUGGLING=write` writes docs/strictness.md.

const page = join(import.meta.dirname, '../../docs/strictness.md')

test('Bawn serves nothing that nginx, haproxy or node:http refuses, but for what the payload says', async t => {
  const { nginx, haproxy } = servers(await install())
  assert(nginx && haproxy)
  const others = { nginx: await nginx(), haproxy: await haproxy(), 'node:http': await startNode() }
  for (const server of Object.values(others)) t.after(() => server.stop())
  const behind = await startNode()
  t.after(() => behind.stop())
  const gateway = await startGateway(t, behind.port)
  const rows = await compareFronts(gateway, others)
  const faults: string[] = []
  for (const { name, servedBy, because } of rows) {
    const refusing = Object.keys(others).filter(other => !servedBy.includes(other))
    const isServed = servedBy.some(who => who.startsWith('Bawn'))
    if (isServed && refusing.length > 0 && because === undefined) faults.push(`${name}: refused by ${refusing}`)
  }
  assert.deepEqual(faults, [])
  // Other versions of them may differ, so the page is only held against the payloads.
  const text = readFileSync(page, 'utf8')
  if (process.env['BAWN_SMUGGLING'] === 'write') writeFileSync(page, fold(text, table(rows)))
})
