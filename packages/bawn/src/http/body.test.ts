import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collectBody } from './body.ts'
import type { BodySource } from './engine.ts'
import { HttpError } from './problem.ts'

/** Gives pieces of a buffer, of these sizes in turn. */
function sourceOf(bytes: Buffer, sizes: readonly number[]): BodySource & { cancelled: boolean } {
  const source = {
    cancelled: false,
    start: (sink: Parameters<BodySource['start']>[0]) => {
      for (let at = 0, turn = 0; at < bytes.length && !source.cancelled; turn++) {
        const size = sizes[turn % sizes.length] ?? 1
        sink.chunk(bytes.subarray(at, at + size))
        at += size
      }
      if (!source.cancelled) sink.end()
    },
    resume: () => {},
    cancel: () => {
      source.cancelled = true
    },
  }
  return source
}

const tooLarge = (): HttpError => new HttpError('http.body_too_large', 'too large')

test('a body is whole however it comes, and what came is not written to', async () => {
  const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, at) => at % 251))
  const before = Buffer.from(bytes)
  for (const sizes of [[20_000], [1], [4096], [1, 5000, 3], [7, 1, 19_000]]) {
    const got = await collectBody(sourceOf(bytes, sizes), 20_000, tooLarge)
    assert.deepEqual(got, before)
    assert.deepEqual(bytes, before)
  }
  assert.equal((await collectBody(sourceOf(Buffer.alloc(0), [1]), 0, tooLarge)).length, 0)
})

test('one byte more than the limit, and the rest is not read', async () => {
  for (const sizes of [[11], [1], [10, 1]]) {
    const source = sourceOf(Buffer.alloc(11), sizes)
    await assert.rejects(collectBody(source, 10, tooLarge), HttpError)
    assert.equal(source.cancelled, true)
  }
})

test('a body in pieces of one byte costs no more than it has', async () => {
  const before = process.memoryUsage().heapUsed
  let most = 0
  const source = sourceOf(Buffer.alloc(2_000_000), [1])
  const watched: BodySource = {
    ...source,
    start: sink =>
      source.start({
        ...sink,
        end: () => {
          most = process.memoryUsage().heapUsed - before
          sink.end()
        },
      }),
  }
  assert.equal((await collectBody(watched, 2_000_000, tooLarge)).length, 2_000_000)
  // Kept as pieces they are some 190 MB.
  assert.ok(most < 100_000_000, `${most} bytes of heap`)
})
