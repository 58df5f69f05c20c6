import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createSecretKey } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { after, test } from 'node:test'
import type { AuditError } from './error.ts'
import type { AuditEvent, AuditTrail } from './event.ts'
import { type AuditTrailOptions, openAuditTrail } from './trail.ts'
import { verifyAudit } from './verify.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-trail-'))
after(() => rmSync(folder, { recursive: true }))

const key = createSecretKey(Buffer.alloc(32, 7))
const event: AuditEvent = {
  kind: 'request',
  requestId: 'r',
  door: 'http',
  identity: undefined,
  address: undefined,
  action: 'GET',
  resource: '/x',
  decision: 'permit',
  rule: 'anyone',
}

let made = 0
const fresh = () => join(folder, `${made++}`, 'audit.jsonl')
const open = (file: string, more: Partial<AuditTrailOptions> = {}): AuditTrail =>
  openAuditTrail({ file, key, fsync: 'interval', clock: () => 1_767_323_045_000, ...more })
const turn = () => new Promise(resolve => setImmediate(resolve))
const linesOf = (file: string) => readFileSync(file, 'utf8').split('\n').slice(0, -1)
const tornBeside = (file: string) =>
  readdirSync(dirname(file)).filter(name => name.startsWith(`${basename(file)}.torn-`))

async function fill(file: string, lines: number): Promise<void> {
  const trail = open(file)
  for (let i = 0; i < lines; i++) trail.emit(event)
  await trail.close()
}

test('lines reach the file at the end of the turn, in one piece and for one user only', async () => {
  const file = fresh()
  const trail = open(file)
  trail.emit(event)
  trail.emit(event)
  assert.equal(statSync(file).size, 0)
  await turn()
  assert.equal(linesOf(file).length, 2)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  await trail.close()
})

for (const fsync of ['interval', 'always'] as const) {
  test(`commit writes at once (fsync ${fsync})`, async () => {
    const file = fresh()
    const trail = open(file, { fsync })
    assert.equal(trail.head, '0'.repeat(64))
    trail.emit(event)
    assert.equal(trail.head, '0'.repeat(64))
    trail.commit()
    assert.equal(linesOf(file).length, 1)
    assert.ok(linesOf(file)[0]?.includes(trail.head))
    trail.commit()
    await trail.close()
    assert.deepEqual(await verifyAudit(file, key), { kind: 'intact', lines: 1, head: trail.head, tornBytes: 0 })
  })
}

test('a trail goes on where it ended', async () => {
  const file = fresh()
  for (let round = 0; round < 4; round++) await fill(file, round)
  const result = await verifyAudit(file, key)
  assert.ok(result.kind === 'intact' && result.lines === 6)
  assert.deepEqual(tornBeside(file), [])
})

test('every cut of a file is recovered to its last whole line, and what was cut off is kept', async () => {
  const file = fresh()
  await fill(file, 2)
  const bytes = readFileSync(file)
  const firstEnd = bytes.indexOf(0x0a) + 1
  for (let cut = 0; cut <= bytes.length; cut++) {
    writeFileSync(file, bytes.subarray(0, cut))
    await open(file).close()
    const whole = cut === bytes.length ? 2 : cut >= firstEnd ? 1 : 0
    const tornBytes = cut - (whole === 0 ? 0 : whole === 1 ? firstEnd : bytes.length)
    const result = await verifyAudit(file, key)
    assert.ok(result.kind === 'intact' && result.lines === whole + (tornBytes > 0 ? 1 : 0), `cut at ${cut}`)
    const torn = tornBeside(file)
    assert.equal(torn.length, tornBytes > 0 ? 1 : 0)
    for (const name of torn) {
      const path = join(dirname(file), name)
      assert.deepEqual(readFileSync(path), bytes.subarray(cut - tornBytes, cut))
      unlinkSync(path)
      const last = JSON.parse(linesOf(file).at(-1) ?? '')
      assert.deepEqual(
        [last.kind, last.action, last.resource, last.rule.startsWith(`${tornBytes} bytes behind line ${whole} `)],
        ['gateway', 'recovered', name, true],
      )
    }
  }
})

const tails: readonly { name: string; tail: Buffer }[] = [
  { name: 'zeros of a page that never came', tail: Buffer.alloc(5000) },
  { name: 'zeros and a newline', tail: Buffer.from(`${'\0'.repeat(100)}\n`) },
  { name: 'a line of another chain', tail: Buffer.from(`{"n":3,"at":"x","mac":"${'0'.repeat(64)}"}\n`) },
  { name: 'text', tail: Buffer.from('hello\nworld') },
]
for (const row of tails) {
  test(`recovered from ${row.name}`, async () => {
    const file = fresh()
    await fill(file, 2)
    appendFileSync(file, row.tail)
    await open(file).close()
    const result = await verifyAudit(file, key)
    assert.ok(result.kind === 'intact' && result.lines === 3)
    assert.deepEqual(readFileSync(join(dirname(file), tornBeside(file)[0] ?? '')), row.tail)
  })
}

test('what was cut off at an earlier start is not written over', async () => {
  const file = fresh()
  await fill(file, 1)
  for (let round = 0; round < 3; round++) {
    appendFileSync(file, 'x'.repeat(round + 1))
    await open(file).close()
  }
  const sizes = tornBeside(file).map(name => statSync(join(dirname(file), name)).size)
  assert.deepEqual(sizes.sort(), [1, 2, 3])
})

test('with another key nothing is touched', async () => {
  const file = fresh()
  await fill(file, 3)
  const before = readFileSync(file)
  const wrong = createSecretKey(Buffer.alloc(32, 9))
  assert.throws(() => open(file, { key: wrong }), { code: 'audit.broken_chain' })
  assert.deepEqual(readFileSync(file), before)
  assert.equal(existsSync(`${file}.lock`), false)
})

test('the end of a long file is found without reading it whole', async () => {
  const file = fresh()
  await fill(file, 8000)
  assert.ok(statSync(file).size > 1_048_576)
  await fill(file, 1)
  const result = await verifyAudit(file, key)
  assert.ok(result.kind === 'intact' && result.lines === 8001)
})

test('one file has one writer', async () => {
  const file = fresh()
  const trail = open(file)
  assert.throws(() => open(file), { code: 'audit.locked' })
  await trail.close()
  await open(file).close()
  assert.equal(existsSync(`${file}.lock`), false)
})

const locks: readonly { name: string; holder: string; held: boolean }[] = [
  {
    name: 'a process that is gone',
    holder: JSON.stringify({ host: hostname(), pid: 2 ** 22 + 1, started: '1' }),
    held: false,
  },
  {
    name: 'a process id that came round again',
    holder: JSON.stringify({ host: hostname(), pid: process.pid, started: '1' }),
    held: false,
  },
  {
    name: 'a process on another host',
    holder: JSON.stringify({ host: `not-${hostname()}`, pid: 1, started: '1' }),
    held: true,
  },
  { name: 'who knows', holder: '{}', held: true },
]
for (const row of locks) {
  test(`the lock of ${row.name} ${row.held ? 'holds' : 'is taken over'}`, async () => {
    const file = fresh()
    await fill(file, 1)
    writeFileSync(`${file}.lock`, row.holder)
    writeFileSync(`${file}.lock.breaking`, row.holder)
    if (row.held) assert.throws(() => open(file), { code: 'audit.locked' })
    else await open(file).close()
  })
}

test('a full disk: commit and later emits throw, and it is said once', async () => {
  const file = join(folder, 'full.jsonl')
  symlinkSync('/dev/full', file)
  const told: AuditError[] = []
  const trail = open(file, { onUnwritable: error => told.push(error) })
  trail.emit(event)
  assert.throws(() => trail.commit(), { code: 'audit.unwritable' })
  assert.throws(() => trail.emit(event), { code: 'audit.unwritable' })
  assert.throws(() => trail.commit(), { code: 'audit.unwritable' })
  assert.equal(told.length, 1)
  await assert.rejects(trail.close(), { code: 'audit.unwritable' })
  assert.equal(existsSync(`${file}.lock`), false)
})

test('a failing write without commit shows at the next emit', async () => {
  const file = join(folder, 'full-later.jsonl')
  symlinkSync('/dev/full', file)
  const trail = open(file)
  trail.emit(event)
  await turn()
  assert.throws(() => trail.emit(event), { code: 'audit.unwritable' })
  await assert.rejects(trail.close())
})

test('somebody else writes the file: refused until it is as it was, and then nothing is missing', async () => {
  const file = fresh()
  const trail = open(file)
  trail.emit(event)
  trail.commit()
  const { size } = statSync(file)
  appendFileSync(file, 'x')
  trail.emit(event)
  assert.throws(() => trail.commit(), { code: 'audit.unwritable' })
  truncateSync(file, size)
  trail.emit(event)
  trail.commit()
  assert.equal(linesOf(file).length, 3)
  await trail.close()
  assert.equal((await verifyAudit(file, key)).kind, 'intact')
})

test('a removed file is noticed', async () => {
  const file = fresh()
  const trail = open(file)
  unlinkSync(file)
  trail.emit(event)
  assert.throws(() => trail.commit(), { code: 'audit.unwritable' })
  await assert.rejects(trail.close())
})

test('nothing is taken on after close, and close twice is close', async () => {
  const trail = open(fresh())
  await trail.close()
  await trail.close()
  assert.throws(() => trail.emit(event), { code: 'audit.unwritable' })
  assert.throws(() => trail.commit(), { code: 'audit.unwritable' })
})

const writer = `
  import { createSecretKey } from 'node:crypto'
  import { openAuditTrail } from ${JSON.stringify(new URL('./trail.ts', import.meta.url).href)}
  const event = ${JSON.stringify(event)}
  const key = createSecretKey(Buffer.alloc(32, 7))
  const trail = openAuditTrail({ file: process.argv[1], key, fsync: 'interval', clock: Date.now })
  const exitAfter = Number(process.argv[2])
  const next = () => {
    for (let i = 0; i < 50; i++) trail.emit({ ...event, requestId: 'r'.repeat(i * 5) })
    if (exitAfter === 0) trail.commit()
    else process.exit(0)
    process.stdout.write(trail.head + '\\n', () => setImmediate(next))
  }
  next()
`

test('kill -9 in the middle of writes: the trail goes on and holds every acknowledged line', async () => {
  const file = fresh()
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', writer, file, '0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    let output = ''
    for await (const chunk of child.stdout) {
      output += String(chunk)
      if (output.length > 65 * (5 + round * 3)) child.kill('SIGKILL')
    }
    await exited
    const acknowledged = output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1)
    assert.match(acknowledged ?? '', /^[0-9a-f]{64}$/)
    await open(file).close()
    const result = await verifyAudit(file, key, { head: acknowledged })
    assert.ok(result.kind === 'intact' && result.tornBytes === 0, JSON.stringify(result))
  }
})

test('process.exit in the turn of an emit loses nothing', async () => {
  const file = fresh()
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', writer, file, '1'])
  assert.equal(child.status, 0, child.stderr.toString())
  const result = await verifyAudit(file, key)
  assert.ok(result.kind === 'intact' && result.lines === 50)
})

test('a trail can be verified while it is written', async () => {
  const file = fresh()
  const trail = open(file)
  for (let i = 0; i < 20; i++) {
    trail.emit(event)
    trail.commit()
    assert.deepEqual(await verifyAudit(file, key, { head: trail.head }), {
      kind: 'intact',
      lines: i + 1,
      head: trail.head,
      tornBytes: 0,
    })
  }
  await trail.close()
})
