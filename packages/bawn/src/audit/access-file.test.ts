import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { AccessBatch, AccessFile } from './access-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-access-'))
after(() => rmSync(folder, { recursive: true }))

async function opened(path: string) {
  const told = { dropped: 0, changes: [] as unknown[] }
  const file = await AccessFile.open(path, {
    dropped: lines => {
      told.dropped += lines
    },
    changed: cause => told.changes.push(cause instanceof Error ? ('code' in cause ? cause.code : cause.name) : cause),
  })
  return { file, told }
}

const until = async (condition: () => boolean): Promise<void> => {
  const deadline = Date.now() + 10_000
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'it did not come to that')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

test('lines are appended, and after a rotation go into a new file', async () => {
  const path = join(folder, 'a.log')
  const { file, told } = await opened(path)
  file.write('1\n')
  file.write('2\n3\n')
  await until(() => readFileSync(path, 'utf8') === '1\n2\n3\n')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  renameSync(path, `${path}.1`)
  file.write('4\n')
  await until(() => readFileSync(`${path}.1`, 'utf8').endsWith('4\n'))
  await file.reopen()
  file.write('5\n')
  await file.close(10_000)
  assert.equal(readFileSync(`${path}.1`, 'utf8'), '1\n2\n3\n4\n')
  assert.equal(readFileSync(path, 'utf8'), '5\n')
  file.write('6\n')
  const { file: again } = await opened(path)
  again.write('7\n')
  await again.close(10_000)
  assert.equal(readFileSync(path, 'utf8'), '5\n7\n')
  assert.deepEqual(told, { dropped: 0, changes: [] })
})

test('a name that cannot be opened anew leaves the file that is open', async () => {
  const path = join(folder, 'gone', 'a.log')
  await assert.rejects(opened(path), { code: 'audit.access_log' })
  execFileSync('mkdir', [join(folder, 'gone')])
  const { file } = await opened(path)
  renameSync(join(folder, 'gone'), join(folder, 'moved'))
  await assert.rejects(file.reopen(), { code: 'audit.access_log' })
  file.write('1\n')
  await file.close(10_000)
  assert.equal(readFileSync(join(folder, 'moved', 'a.log'), 'utf8'), '1\n')
})

test('where there is no room lines are dropped and counted, and it is said once', async () => {
  const { file, told } = await opened('/dev/full')
  file.write('1\n2\n')
  await until(() => told.dropped === 2)
  file.write('3\n')
  await until(() => told.dropped === 3)
  assert.deepEqual(told.changes, ['ENOSPC'])
  await file.close(10_000)
})

test('a reader that does not read holds up nobody, and what waits is bounded', async () => {
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  await assert.rejects(opened(path), { code: 'audit.access_log' })
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const { file, told } = await opened(path)
  const line = `${'x'.repeat(999)}\n`
  for (let at = 0; at < 20_000; at++) file.write(line)
  assert.ok(told.dropped > 10_000 && told.dropped < 13_000, String(told.dropped))
  assert.deepEqual(told.changes, ['audit.access_log'])
  // Then it reads: what was kept is there, each line whole.
  let read = ''
  const bytes = Buffer.alloc(65_536)
  await until(() => {
    try {
      for (;;) {
        const got = readSync(reader, bytes)
        if (got === 0) break
        read += bytes.toString('latin1', 0, got)
      }
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'EAGAIN')
    }
    return read.length === (20_000 - told.dropped) * 1_000
  })
  assert.ok(read.split('\n').every(text => text === '' || text === 'x'.repeat(999)))
  await until(() => told.changes.length === 2)
  assert.equal(told.changes[1], undefined)
  await file.close(10_000)
  closeSync(reader)
})

test('lines are kept together', async () => {
  const taken: string[] = []
  const batch = new AccessBatch(lines => taken.push(lines))
  const line = `${'x'.repeat(999)}\n`
  for (let at = 0; at < 66; at++) batch.write(line)
  assert.deepEqual(
    taken.map(lines => lines.length),
    [66_000],
  )
  batch.write('late\n')
  await until(() => taken.length === 2)
  batch.write('last\n')
  batch.flush()
  batch.flush()
  assert.deepEqual(taken.slice(1), ['late\n', 'last\n'])
})
