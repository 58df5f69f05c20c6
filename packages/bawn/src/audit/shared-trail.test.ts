import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { AuditEvent } from './event.ts'
import { firstThread, joinSharedTrail, openSharedTrail, type SharedTrail } from './shared-trail.ts'
import { openAuditTrail } from './trail.ts'
import { verifyAudit } from './verify.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-shared-trail-'))
after(() => rmSync(folder, { recursive: true }))
const key = createSecretKey(randomBytes(32))
let files = 0
const optionsOf = (more: object = {}) => {
  files += 1
  return { file: join(folder, `${files}.jsonl`), key, fsync: 'interval' as const, clock: Date.now, ...more }
}

const event = (requestId: string): AuditEvent => ({
  kind: 'request',
  requestId,
  door: 'http',
  identity: undefined,
  address: undefined,
  action: 'GET',
  resource: '/',
  decision: 'permit',
  rule: 'a test',
})

const linesOf = (file: string): readonly { readonly n: number; readonly request: string }[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))

async function isIntact(file: string): Promise<boolean> {
  return (await verifyAudit(file, key)).kind === 'intact'
}

/** Writes lines without end, a few each time, and tells how many were committed. */
const writing = `
const { workerData, parentPort } = require('node:worker_threads')
const { createSecretKey } = require('node:crypto')
import(workerData.module).then(({ joinSharedTrail }) => {
  const { place, thread, options, event, count } = workerData
  const trail = joinSharedTrail(place, thread, { ...options, key: createSecretKey(options.key), clock: Date.now })
  for (let n = 0; n < count; n += 2) {
    trail.emit({ ...event, requestId: thread + '-' + n })
    trail.emit({ ...event, requestId: thread + '-' + (n + 1) })
    trail.commit()
    Atomics.store(workerData.committed, 0, n + 2)
  }
  parentPort.postMessage('done')
})`

function startWriter(trail: SharedTrail, options: ReturnType<typeof optionsOf>, thread: number, count: number) {
  const { file, fsync } = options
  const committed = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(writing, {
    eval: true,
    workerData: {
      ...{ place: trail.place, thread, event: event(''), count, committed },
      options: { file, fsync, key: key.export() },
      module: new URL('shared-trail.ts', import.meta.url).href,
    },
  })
  return { worker, committed }
}

test('several threads write one chain, and each line is in the file when commit returns', async () => {
  const options = optionsOf()
  const trail = openSharedTrail(options)
  const writers = [2, 3, 4].map(thread => startWriter(trail, options, thread, 2_000))
  const done = Promise.all(writers.map(({ worker }) => once(worker, 'message')))
  for (let n = 0; n < 200; n++) {
    trail.emit(event(`1-${n}`))
    trail.commit()
    assert.equal(linesOf(options.file).findLast(({ request }) => request.startsWith('1-'))?.request, `1-${n}`)
    await new Promise(resolve => setImmediate(resolve))
  }
  await done
  const head = trail.head
  await trail.close()
  const lines = linesOf(options.file)
  assert.equal(lines.length, 6_200)
  assert.deepEqual(
    lines.map(({ n }) => n),
    Array.from(lines, (_, n) => n + 1),
  )
  assert.equal(readFileSync(options.file, 'utf8').trimEnd().endsWith(`"mac":"${head}"}`), true)
  assert.ok(await isIntact(options.file))
  // One thread goes on with it.
  const next = openAuditTrail(options)
  next.emit(event('after'))
  await next.close()
  assert.equal(linesOf(options.file).length, 6_201)
  assert.ok(await isIntact(options.file))
})

test('a thread that is ended in the middle loses nothing that it had committed, and others go on', async () => {
  for (let round = 0; round < 8; round++) {
    const options = optionsOf()
    const trail = openSharedTrail(options)
    const [one, other] = [2, 3].map(thread => startWriter(trail, options, thread, 1_000_000_000))
    assert.ok(one !== undefined && other !== undefined)
    while (Atomics.load(one.committed, 0) < 100 + round * 7 || Atomics.load(other.committed, 0) < 100)
      await new Promise(resolve => setImmediate(resolve))
    await one.worker.terminate()
    trail.ended(2)
    const before = Atomics.load(other.committed, 0)
    while (Atomics.load(other.committed, 0) < before + 100) await new Promise(resolve => setImmediate(resolve))
    await other.worker.terminate()
    trail.ended(3)
    trail.emit(event('last'))
    await trail.close()
    const lines = linesOf(options.file)
    for (const [thread, { committed }] of [
      [2, one],
      [3, other],
    ] as const) {
      const own = lines.filter(({ request }) => request.startsWith(`${thread}-`)).length
      assert.ok(own >= Atomics.load(committed, 0), `${own} lines of ${Atomics.load(committed, 0)} committed`)
    }
    assert.equal(lines.at(-1)?.request, 'last')
    assert.ok(await isIntact(options.file))
  }
})

test('what a thread left half written is cut off, kept, and told', async () => {
  const options = optionsOf()
  const trail = openSharedTrail(options)
  trail.emit(event('first'))
  trail.commit()
  // As if thread 2 had died between its write and the note of it.
  Atomics.store(new Int32Array(trail.place.memory, 0, 1), 0, 2)
  appendFileSync(options.file, '{"n":2,"at":"2026')
  trail.ended(2)
  trail.commit()
  await trail.close()
  assert.ok(await isIntact(options.file))
  assert.match(readFileSync(options.file, 'utf8'), /"action":"recovered"/)
  const base = options.file.slice(folder.length + 1)
  assert.equal(readdirSync(folder).filter(name => name.startsWith(`${base}.torn-`)).length, 1)
})

/** Begins to write, and ends in the middle: nothing of its own runs behind that. */
const dying = `
const { workerData } = require('node:worker_threads')
const { createSecretKey } = require('node:crypto')
import(workerData.module).then(({ joinSharedTrail }) => {
  const { place, thread, options, inside } = workerData
  joinSharedTrail(place, thread, { ...options, key: createSecretKey(options.key), clock: Date.now })
  Atomics.store(new Int32Array(place.memory, 0, 1), 0, thread)
  require('node:fs').writeSync(place.fd, '{"n":2,"at":"2026')
  Atomics.store(inside, 0, 1)
  Atomics.notify(inside, 0)
  process.exit()
})`

test('the first thread does not wait for a writer that is no more', async () => {
  const options = optionsOf()
  const trail = openSharedTrail(options)
  trail.emit(event('first'))
  trail.commit()
  const inside = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(dying, {
    eval: true,
    workerData: {
      ...{
        place: trail.place,
        thread: 2,
        inside,
        options: { file: options.file, fsync: 'interval', key: key.export() },
      },
      module: new URL('shared-trail.ts', import.meta.url).href,
    },
  })
  const exited = once(worker, 'exit')
  await once(worker, 'online')
  // From here on this thread hears of nothing.
  assert.notEqual(Atomics.wait(inside, 0, 0, 10_000), 'timed-out')
  trail.emit(event('second'))
  trail.commit()
  await exited
  trail.ended(2)
  await trail.close()
  const lines = linesOf(options.file)
  assert.equal(lines.filter(({ request }) => request === 'second').length, 1)
  assert.match(readFileSync(options.file, 'utf8'), /"action":"recovered"/)
  assert.ok(await isIntact(options.file))
})

test('while the file cannot be written nobody takes anything on, and it is told once', async () => {
  const told: string[] = []
  const onUnwritable = (error: Error): void => void told.push(error.message)
  const options = optionsOf({ onUnwritable })
  const trail = openSharedTrail(options)
  const other = joinSharedTrail(trail.place, firstThread + 1, options)
  trail.emit(event('first'))
  trail.commit()
  const { size } = statSync(options.file)
  appendFileSync(options.file, 'x')
  other.emit(event('second'))
  assert.throws(() => other.commit(), { code: 'audit.unwritable' })
  assert.throws(() => trail.emit(event('third')), { code: 'audit.unwritable' })
  assert.equal(told.length, 1)
  truncateSync(options.file, size)
  trail.commit()
  other.commit()
  await other.close()
  await trail.close()
  assert.deepEqual(
    linesOf(options.file).map(({ request }) => request),
    ['first', 'second'],
  )
  assert.ok(await isIntact(options.file))
})

test('fsync always, and a trail that is closed', async () => {
  const options = optionsOf({ fsync: 'always' })
  const trail = openSharedTrail(options)
  trail.emit(event('first'))
  trail.commit()
  await trail.close()
  await trail.close()
  assert.throws(() => trail.emit(event('second')), { code: 'audit.unwritable' })
  assert.throws(() => trail.commit(), { code: 'audit.unwritable' })
})
