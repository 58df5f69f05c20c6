import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Decide, FrameReader } from './frame-reader.ts'
import { WireError } from './wire-error.ts'

const frame = (type: string, body: Uint8Array): Buffer => {
  const out = Buffer.alloc(5 + body.length)
  out.write(type, 0, 'latin1')
  out.writeInt32BE(4 + body.length, 1)
  out.set(body, 5)
  return out
}

/** Upper case is opened, lower case is streamed. */
const byCase: Decide = type => (type < 0x60 ? 'open' : 'stream')

/** Frames with their whole bytes, put together again where they were presented in pieces. */
function collect(chunks: Iterable<Uint8Array>, decide: Decide = byCase): string[] {
  const reader = new FrameReader(decide)
  const frames: string[] = []
  let parts: Buffer[] = []
  for (const chunk of chunks) {
    reader.push(Buffer.from(chunk))
    while (reader.next()) {
      const bytes = Buffer.from(reader.buffer.subarray(reader.start, reader.end))
      if (reader.piece === 'whole') frames.push(bytes.toString('hex'))
      else {
        parts.push(bytes)
        assert.equal(decide(reader.type, 0), 'stream')
        if (reader.piece === 'end') {
          frames.push(Buffer.concat(parts).toString('hex'))
          parts = []
        }
      }
    }
  }
  assert.equal(parts.length, 0)
  return frames
}

const stream = Buffer.concat([
  frame('Q', Buffer.from('select 1\0')),
  frame('S', Buffer.alloc(0)),
  frame('d', Buffer.from('one line of a COPY')),
  frame('c', Buffer.alloc(0)),
  frame('D', Buffer.alloc(70, 7)),
  frame('d', Buffer.alloc(40, 9)),
])

test('the same frames come out however the bytes arrive', () => {
  const whole = collect([stream])
  assert.equal(whole.length, 6)
  assert.equal(whole.join(''), stream.toString('hex'))
  for (let cut = 0; cut <= stream.length; cut += 1) {
    assert.deepEqual(collect([stream.subarray(0, cut), stream.subarray(cut)]), whole, `cut at ${cut}`)
  }
  assert.deepEqual(collect(Array.from(stream, byte => Uint8Array.of(byte))), whole)
})

test('two cuts at random places', () => {
  const whole = collect([stream])
  for (let round = 0; round < 500; round += 1) {
    const [a = 0, b = 0] = [Math.random(), Math.random()].map(x => Math.floor(x * stream.length)).sort((x, y) => x - y)
    assert.deepEqual(collect([stream.subarray(0, a), stream.subarray(a, b), stream.subarray(b)]), whole)
  }
})

test('a frame stays presented until the next is asked for, and pushed chunks wait', () => {
  const reader = new FrameReader(byCase)
  reader.push(frame('Q', Buffer.from('a\0')))
  reader.push(frame('Q', Buffer.from('b\0')))
  assert.ok(reader.next())
  assert.equal(reader.buffer.toString('utf8', reader.start + 5, reader.end), 'a\0')
  reader.push(frame('Q', Buffer.from('c\0')))
  assert.equal(reader.buffer.toString('utf8', reader.start + 5, reader.end), 'a\0')
  assert.equal(reader.buffered, 14)
  assert.ok(reader.next())
  assert.ok(reader.next())
  assert.equal(reader.buffer.toString('utf8', reader.start + 5, reader.end), 'c\0')
  assert.ok(!reader.next())
  assert.equal(reader.buffered, 0)
})

test('drain hands on what was not presented', () => {
  const reader = new FrameReader(byCase)
  reader.push(stream.subarray(0, 20))
  assert.ok(reader.next())
  reader.push(stream.subarray(20))
  assert.equal(reader.drain().toString('hex'), stream.subarray(14).toString('hex'))
  assert.ok(!reader.next())
})

test('lengths below 4 are refused, wherever the header is cut', () => {
  for (const length of [0, 3, -1, -(2 ** 31)]) {
    const header = Buffer.from([0x51, 0, 0, 0, 0])
    header.writeInt32BE(length, 1)
    for (let cut = 0; cut < 5; cut += 1) {
      assert.throws(() => collect([header.subarray(0, cut), header.subarray(cut)]), WireError)
    }
  }
})

test('the decision is asked for from the header alone, once', () => {
  const asked: number[] = []
  const reader = new FrameReader((_, length) => {
    asked.push(length)
    return 'open'
  })
  const header = Buffer.from([0x51, 0x3f, 0xff, 0xff, 0xff])
  for (const byte of header) {
    reader.push(Buffer.of(byte))
    assert.ok(!reader.next())
  }
  reader.push(Buffer.alloc(100))
  assert.ok(!reader.next())
  assert.deepEqual(asked, [0x3fff_ffff])
})

test('an opened frame of 40 MB in small chunks costs linear time and comes out whole', () => {
  const size = 40 * 1024 * 1024
  const reader = new FrameReader(byCase)
  const header = Buffer.from([0x44, 0, 0, 0, 0])
  header.writeInt32BE(size + 4, 1)
  reader.push(header)
  const chunk = Buffer.alloc(64 * 1024, 5)
  let opened = 0
  for (let sent = 0; sent < size; sent += chunk.length) {
    reader.push(chunk)
    while (reader.next()) opened = reader.end - reader.start
  }
  assert.equal(opened, size + 5)
})

test('random bytes end in a typed error or wait for more', () => {
  for (let round = 0; round < 2_000; round += 1) {
    const bytes = Buffer.from(Array.from({ length: 64 }, () => Math.floor(Math.random() * 256)))
    try {
      const reader = new FrameReader((_, length) => {
        if (length > 10_000) throw new WireError('too long')
        return 'open'
      })
      reader.push(bytes)
      while (reader.next());
    } catch (error) {
      assert.ok(error instanceof WireError)
    }
  }
})
