import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { createAdminDoor } from '../admin/door.ts'
import type { ReloadResult } from '../admin/reload.ts'
import { run } from './main.ts'

const cwd = mkdtempSync(join(tmpdir(), 'bawn-reload-'))
after(() => rmSync(cwd, { recursive: true }))
writeFileSync(
  join(cwd, 'bawn.yaml'),
  `listeners: { desk: { door: admin, address: 127.0.0.1:0, token_file: admin.token } }
keys: { store: { kind: directory, path: keys }, master: env:M, client_id: shop_fields }
audit: { file: audit.jsonl }
`,
)

async function bawn(...args: string[]) {
  let output = ''
  const take = (text: string): void => {
    output += text
  }
  const status = await run(args, { stdin: Readable.from([]), out: take, err: take, env: {}, cwd, now: () => 0 })
  return { status, output }
}

test('before the start there is no token', async () => {
  const { status, output } = await bawn('reload')
  assert.equal(status, 1)
  assert.match(output, /^error: admin\.token_file: the admin token cannot be read from .*admin\.token \(ENOENT/)
})

test('reload tells the running gateway, and prints what came of it', async () => {
  let result: ReloadResult = { kind: 'reloaded', changes: ['route GET /a was added'], warnings: [] }
  const door = await createAdminDoor(
    { address: '127.0.0.1:0', tokenFile: join(cwd, 'admin.token') },
    {
      health: () => ({}),
      ready: () => [],
      metrics: () => '',
      head: () => '',
      reload: async () => result,
      sessions: () => [],
      killSessions: () => [],
      revocations: () => assert.fail(),
    },
  )
  try {
    const address = ['--address', door.address]
    assert.deepEqual(await bawn('reload', ...address), { status: 0, output: 'reloaded:\n  route GET /a was added\n' })
    result = { kind: 'reloaded', changes: [], warnings: [] }
    assert.deepEqual(await bawn('reload', ...address), { status: 0, output: 'reloaded:\n  nothing changed\n' })
    assert.deepEqual(await bawn('reload', ...address, '--json'), { status: 0, output: `${JSON.stringify(result)}\n` })
    const place = { level: 'error', file: 'bawn.yaml', line: 3, column: 2, length: 3, path: 'a' } as const
    result = {
      kind: 'refused',
      problems: [{ ...place, message: 'it is wrong', suggestion: 'mend it', excerpt: ' abc' }],
    }
    assert.deepEqual(await bawn('reload', ...address), {
      status: 1,
      output: [
        'bawn.yaml:3:2: error: it is wrong',
        '    3 |  abc',
        '      |  ^^^',
        '        mend it',
        'refused: kept the last good configuration',
        '',
      ].join('\n'),
    })
    writeFileSync(join(cwd, 'admin.token'), `${'A'.repeat(43)}\n`)
    const other = await bawn('reload', ...address)
    assert.equal(other.status, 1)
    assert.match(other.output, /^error: admin\.unauthorized: /)
  } finally {
    await door.close()
  }
  const gone = await bawn('reload', '--address', door.address)
  assert.equal(gone.status, 1)
  assert.match(gone.output, /^error: admin\.unreachable: nobody answers at 127\.0\.0\.1:\d+ \(/)
})
