import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FileLockError, lockFile } from './file-lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-lock-'))
after(() => rmSync(folder, { recursive: true }))

/** Reads a number and writes the next one, so often, each time with the lock. */
const counter = `
  import { readFileSync, writeFileSync } from 'node:fs'
  import { lockFile } from ${JSON.stringify(new URL('./file-lock.ts', import.meta.url).href)}
  const file = process.argv[1]
  process.stdin.once('data', () => {
    for (let done = 0; done < 100; ) {
      let release
      try {
        release = lockFile(file)
      } catch (error) {
        if (error.kind !== 'held') throw error
        continue
      }
      writeFileSync(file, String(Number(readFileSync(file, 'utf8')) + 1))
      release()
      done++
    }
    process.exit(0)
  })
  process.stdout.write('ready')
`

test('one at a time, however many want it, and whoever leaves it meanwhile', async () => {
  const file = join(folder, 'count')
  writeFileSync(file, '0')
  // Left by somebody who was killed, and whose number nobody has now.
  writeFileSync(`${file}.lock`, JSON.stringify({ host: hostname(), pid: 2 ** 30, started: '1' }))
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ['--input-type=module', '--eval', counter, file], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  await Promise.all(children.map(child => once(child.stdout, 'data')))
  const ended = children.map(child => once(child, 'exit'))
  for (const child of children) child.stdin.end('go')
  for (const [status] of await Promise.all(ended)) assert.equal(status, 0)
  assert.equal(readFileSync(file, 'utf8'), '400')
  assert.deepEqual(
    readdirSync(folder).filter(name => name !== 'count'),
    [],
  )
})

test('a lock of a living process is held, one of a dead process is taken over, also while it was being taken over', () => {
  const file = join(folder, 'one')
  const release = lockFile(file)
  assert.throws(
    () => lockFile(file),
    (error: unknown) => error instanceof FileLockError && error.kind === 'held',
  )
  release()
  const dead = JSON.stringify({ host: hostname(), pid: 2 ** 30, started: '1' })
  for (const name of [`${file}.lock`, `${file}.lock.breaking`]) writeFileSync(name, dead)
  lockFile(file)()
  assert.equal(existsSync(`${file}.lock`), false)
  assert.equal(existsSync(`${file}.lock.breaking`), false)
  writeFileSync(`${file}.lock`, JSON.stringify({ host: 'elsewhere.example', pid: 1, started: '' }))
  assert.throws(() => lockFile(file), /on elsewhere\.example/)
  rmSync(`${file}.lock`)
})
