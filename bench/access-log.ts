import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AccessBatch, AccessFile } from '../packages/bawn/src/audit/access-file.ts'
import type { RequestAccess } from '../packages/bawn/src/audit/access-line.ts'
import { createAccessLog } from '../packages/bawn/src/audit/access-log.ts'
import { createIdentity } from '../packages/bawn/src/authn/identity.ts'

// What one line of the access log costs a request, from what is known of it to the file: processor time of the whole process, threads that write
// included, the best of several rounds, since others use the machine as well.

const identity = createIdentity({
  ...{ id: 'alice', roles: ['staff'], claims: {}, clientId: undefined, mechanism: 'jwt', source: 'corp' },
  expiresAt: undefined,
})
const access: RequestAccess = {
  ...{ requestId: '5f0c3a4e-8d1b-4f57-9a55-0f8f2f3f1a10', address: '192.0.2.7', identity, method: 'GET' },
  ...{ target: '/orders/7?page=1&sort=date', route: '/orders/{id}', httpVersion: '1.1', host: 'shop.example' },
  ...{ referer: 'https://shop.example/orders', userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0' },
  ...{ status: 200, bytes: 1843, durationMs: 1.2345, isComplete: true, carriers: new Set<string>() },
}
const kinds: Readonly<Record<string, Partial<RequestAccess>>> = {
  'a plain query': {},
  'no query': { target: '/orders/7', referer: undefined },
  'a value that is not written': { target: '/orders/7?page=1&token=abc' },
  'characters that are escaped': { userAgent: 'Mozilla/5.0 "\u00e9\u00e8" (X11)' },
}

const lines = 100_000
const rounds = 7
const folder = mkdtempSync(join(tmpdir(), 'bawn-bench-'))
console.log('| format | request | µs a line, written | bytes a line |\n|---|---|---:|---:|')
for (const format of ['json', 'combined'] as const) {
  for (const [name, more] of Object.entries(kinds)) {
    let best = Infinity
    let bytes = 0
    for (let round = 0; round < rounds; round++) {
      const file = await AccessFile.open(join(folder, 'access.log'), {
        dropped: count => {
          throw new Error(`${count} lines were dropped`)
        },
        changed: cause => {
          throw cause
        },
      })
      bytes = 0
      const batch = new AccessBatch(text => {
        bytes += text.length
        file.write(text)
      })
      const log = createAccessLog({ format, redact: [] }, batch, Date.now)
      const before = process.cpuUsage()
      for (let at = 0; at < lines; at++) {
        log.request({ ...access, ...more })
        // As between requests: what is written goes on.
        if (at % 100 === 0) await new Promise(resolve => setImmediate(resolve))
      }
      batch.flush()
      await file.close(60_000)
      const { user, system } = process.cpuUsage(before)
      best = Math.min(best, (user + system) / lines)
    }
    console.log(`| ${format} | ${name} | ${best.toFixed(2)} | ${Math.round(bytes / lines)} |`)
  }
}
rmSync(folder, { recursive: true })
