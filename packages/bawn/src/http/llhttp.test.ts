import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { RequestParser } from './llhttp.ts'

interface Read {
  readonly heads: readonly unknown[]
  readonly bodies: readonly string[]
  readonly error: string | undefined
}

/** Feeds pieces as a connection would, to the first error. */
function read(pieces: readonly Buffer[], maxHeadBytes = 16_384): Read {
  const parser = new RequestParser(maxHeadBytes)
  const heads: unknown[] = []
  const bodies: string[] = []
  let body = ''
  try {
    for (const piece of pieces) {
      let rest = piece
      while (rest.length > 0) {
        const found = parser.execute(rest)
        if (found.error !== undefined) return { heads, bodies, error: found.error }
        if (found.head !== undefined) heads.push({ ...found.head, rawHeaders: [...found.head.rawHeaders] })
        for (let at = 0; at < found.body.length; at += 2)
          body += rest.toString('latin1', found.body[at], found.body[at + 1])
        if (found.complete) {
          bodies.push(body)
          body = ''
        }
        assert.ok(found.consumed > 0, 'no step forward')
        rest = rest.subarray(found.consumed)
      }
    }
    return { heads, bodies, error: undefined }
  } finally {
    parser.free()
  }
}

const stream = Buffer.from(
  [
    'GET /a?b=c HTTP/1.1\r\nHost: a\r\nEmpty:\r\nSpaces:   x y  \r\n\r\n',
    'POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde',
    'PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n',
    '\r\nDELETE /d HTTP/1.1\r\nX: \xff\r\n\r\n',
    'HEAD /e HTTP/1.0\r\n\r\n',
  ].join(''),
  'latin1',
)

const whole = read([stream])

test('a stream of requests is read: heads, bodies without their coding, trailers dropped', () => {
  assert.equal(whole.error, undefined)
  assert.deepEqual(whole.bodies, ['', 'abcde', 'abcde', '', ''])
  assert.deepEqual(whole.heads[0], {
    method: 'GET',
    target: '/a?b=c',
    httpVersion: '1.1',
    rawHeaders: ['Host', 'a', 'Empty', '', 'Spaces', 'x y'],
    upgrade: false,
    keepAlive: true,
  })
  assert.deepEqual(whole.heads[3], {
    method: 'DELETE',
    target: '/d',
    httpVersion: '1.1',
    rawHeaders: ['X', '\xff'],
    upgrade: false,
    keepAlive: true,
  })
  assert.deepEqual(whole.heads[4], {
    method: 'HEAD',
    target: '/e',
    httpVersion: '1.0',
    rawHeaders: [],
    upgrade: false,
    keepAlive: false,
  })
})

test('where the stream is cut makes no difference', () => {
  for (let cut = 1; cut < stream.length; cut++) {
    assert.deepEqual(read([stream.subarray(0, cut), stream.subarray(cut)]), whole, `cut at ${cut}`)
  }
  assert.deepEqual(read(Array.from(stream, byte => Buffer.of(byte))), whole)
  for (let round = 0; round < 200; round++) {
    const pieces: Buffer[] = []
    for (let at = 0; at < stream.length; ) {
      const end = Math.min(stream.length, at + randomInt(1, 40))
      pieces.push(stream.subarray(at, end))
      at = end
    }
    assert.deepEqual(read(pieces), whole)
  }
})

const limits: readonly { name: string; text: string; max: number; error: string | undefined }[] = [
  { name: 'a head at the limit', text: `GET / HTTP/1.1\r\nX: ${'y'.repeat(40)}\r\n\r\n`, max: 60, error: undefined },
  {
    name: 'a head over the limit',
    text: `GET / HTTP/1.1\r\nX: ${'y'.repeat(60)}\r\n\r\n`,
    max: 60,
    error: 'head-too-large',
  },
  {
    name: 'a target over the limit',
    text: `GET /${'y'.repeat(60)} HTTP/1.1\r\n\r\n`,
    max: 60,
    error: 'head-too-large',
  },
  { name: 'a head without an end', text: `GET / HTTP/1.1\r\n${'a:\r\n'.repeat(60)}`, max: 60, error: 'head-too-large' },
  {
    name: 'the limit is that of each head',
    text: `GET / HTTP/1.1\r\nX: ${'y'.repeat(40)}\r\n\r\n`.repeat(9),
    max: 60,
    error: undefined,
  },
  {
    name: 'a body does not count',
    text: `POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\n${'y'.repeat(500)}`,
    max: 60,
    error: undefined,
  },
  {
    name: 'trailers over the limit',
    text: `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ${'y'.repeat(90)}\r\n\r\n`,
    max: 60,
    error: 'head-too-large',
  },
]
for (const row of limits) {
  test(`limit: ${row.name}, whole and byte by byte`, () => {
    const bytes = Buffer.from(row.text, 'latin1')
    assert.equal(read([bytes], row.max).error, row.error)
    assert.equal(
      read(
        Array.from(bytes, byte => Buffer.of(byte)),
        row.max,
      ).error,
      row.error,
    )
  })
}

test('what is longer than the input of the parser goes in slices', () => {
  const body = 'z'.repeat(300_000)
  const bytes = Buffer.from(`POST / HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const found = read([bytes])
  assert.equal(found.error, undefined)
  assert.equal(found.bodies[0]?.length, body.length)
})

test('random and damaged input ends in an error or in requests, and the next parser is not harmed', () => {
  for (let round = 0; round < 3_000; round++) {
    const bytes = round % 3 === 0 ? randomBytes(randomInt(1, 200)) : Buffer.from(stream)
    if (round % 3 !== 0)
      for (let change = randomInt(1, 6); change > 0; change--) bytes[randomInt(bytes.length)] = randomInt(256)
    const cut = randomInt(bytes.length)
    const once = read([bytes])
    const twice = read([bytes.subarray(0, cut), bytes.subarray(cut)])
    assert.equal(twice.error, once.error)
    // A head whose body is malformed in the same piece is not reported.
    assert.deepEqual(twice.heads.slice(0, once.heads.length), once.heads)
  }
  assert.deepEqual(read([stream]), whole)
})
