import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ObjectTable, objectKey } from './objects.ts'
import { Output } from './output.ts'
import { type Pending, PendingQueue } from './pending.ts'

const entry = (kind: Pending['kind'], undo?: () => void): Pending => ({ kind, batch: 0, undo })

test('an error drops up to the next Sync and undoes the newest first', () => {
  const queue = new PendingQueue()
  const undone: string[] = []
  for (const name of ['a', 'b']) queue.push(entry('parse', () => undone.push(name)))
  queue.push(entry('query'))
  queue.push(entry('sync'))
  queue.push(entry('parse', () => undone.push('later')))
  assert.equal(queue.outstandingReady, 2)
  queue.dropToSync()
  assert.deepEqual(undone, ['b', 'a'])
  assert.equal(queue.head()?.kind, 'sync')
  assert.equal(queue.outstandingReady, 1)
})

test('in COPY, Syncs behind it are not counted; when it fails they may be answered, and are where nothing else can be', () => {
  const queue = new PendingQueue()
  const kinds = () => queue.list().map(one => one.kind)
  for (const kind of ['execute', 'sync', 'sync'] as const) queue.push(entry(kind))
  queue.passSyncs()
  assert.deepEqual(kinds(), ['execute'])
  assert.equal(queue.outstandingReady, 0)
  assert.equal(queue.failCopy(), 2)
  assert.equal(queue.failCopy(), 0)
  for (const kind of ['sync', 'parse', 'sync'] as const) queue.push(entry(kind))
  queue.passSyncs()
  assert.deepEqual(kinds(), ['execute', 'parse', 'sync'])
  assert.equal(queue.failCopy(), 0)
  assert.deepEqual(kinds(), ['execute', 'sync', 'parse', 'sync'])
  assert.equal(queue.outstandingReady, 2)
  assert.equal(queue.readySent, 2)
})

test('the queue keeps its order over many entries', () => {
  const queue = new PendingQueue()
  let pushed = 0
  let shifted = 0
  for (let round = 0; round < 5_000; round += 1) {
    for (let more = 0; more < round % 4; more += 1) {
      queue.push({ kind: 'bind', batch: pushed })
      pushed += 1
    }
    if (queue.length > 0) {
      assert.equal(queue.head()?.batch, shifted)
      queue.shift()
      shifted += 1
    }
  }
  assert.equal(queue.length, pushed - shifted)
})

test('names beyond 63 bytes are one name, and changes can be undone', () => {
  const table = new ObjectTable<{ readonly of: number }>()
  const [first, second] = [{ of: 1 }, { of: 2 }]
  table.set(`${'n'.repeat(63)}1`, first)
  const undo = table.set(`${'n'.repeat(63)}2`, second)
  assert.equal(table.size, 1)
  undo()
  assert.equal(table.get('n'.repeat(63)), first)
  assert.equal(objectKey('a'), 'a')
})

test('changes of batches that fail one after the other are undone as if neither had been, and a newer one that stays is kept', () => {
  const values = ['z', 'a', 'b', undefined].map(of => (of === undefined ? undefined : { of }))
  const [z, a, b] = values
  for (const first of [a, undefined]) {
    for (const second of [b, undefined]) {
      for (const fails of [true, false]) {
        const table = new ObjectTable<{ readonly of: string }>()
        table.set('', z)
        const undoFirst = table.set('', first && { ...first })
        const undoSecond = table.set('', second && { ...second })
        undoFirst()
        if (fails) undoSecond()
        assert.deepEqual(table.get(''), fails ? z : second)
      }
    }
  }
})

test('neighbouring slices leave as one, in order, and borrowed bytes are copied', () => {
  const output = new Output()
  const chunk = Buffer.from('abcdef')
  const slab = Buffer.from('XY')
  output.slice(chunk, 0, 2, false)
  output.slice(chunk, 2, 3, false)
  const only = output.take()
  assert.equal(only?.toString(), 'abc')
  assert.equal(only?.buffer, chunk.buffer)
  output.slice(chunk, 3, 4, false)
  output.slice(slab, 0, 2, true)
  slab.fill(0)
  output.append(Buffer.from('-'))
  output.slice(chunk, 4, 6, false)
  assert.equal(output.take()?.toString(), 'dXY-ef')
  assert.equal(output.take(), undefined)
})
