import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HttpError } from '../problem.ts'
import { type AnswerEvents, AnswerParser } from './answer-parser.ts'

interface Collected {
  readonly heads: { status: number; headers: readonly string[]; framing: string; keepAlive: boolean }[]
  body: string
  complete: number
  surplus: boolean
  error: string | undefined
}

/** @param closed the upstream closes at the end */
function collect(pieces: readonly Buffer[], method = 'GET', closed = false): Collected {
  const got: Collected = { heads: [], body: '', complete: 0, surplus: false, error: undefined }
  const events: AnswerEvents = {
    head: h =>
      got.heads.push({ status: h.status, headers: h.headers, framing: h.framing.kind, keepAlive: h.keepAlive }),
    body: bytes => {
      got.body += bytes.toString('latin1')
    },
    complete: () => {
      got.complete++
    },
  }
  const parser = new AnswerParser({ maxHeadBytes: 1024, maxHeaders: 10 })
  parser.begin(method)
  try {
    for (const piece of pieces) parser.push(piece, events)
    if (closed) parser.end(events)
  } catch (error) {
    assert.ok(error instanceof HttpError, String(error))
    got.error = error.code
  }
  got.surplus = parser.surplus
  return got
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

const wellFormed: readonly {
  name: string
  text: string
  method?: string
  closed?: boolean
  status: number
  body: string
}[] = [
  { name: 'a length', text: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', status: 200, body: 'hello' },
  { name: 'a length of nothing', text: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', status: 200, body: '' },
  { name: 'no reason phrase', text: 'HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx', status: 200, body: 'x' },
  {
    name: 'chunks, an extension, a trailer',
    text: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6 ; a="b"\r\n world\r\n0\r\nX-User: root\r\n\r\n',
    status: 200,
    body: 'hello world',
  },
  {
    name: 'CR and LF inside chunk data',
    text: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n',
    status: 200,
    body: '\r\n\r\n',
  },
  { name: 'until close', text: 'HTTP/1.0 200 OK\r\n\r\nall of it', closed: true, status: 200, body: 'all of it' },
  {
    name: 'interim answers skipped',
    text: 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok',
    status: 201,
    body: 'ok',
  },
  {
    name: 'HEAD has no body',
    text: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
    method: 'HEAD',
    status: 200,
    body: '',
  },
  { name: '304 has no body', text: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', status: 304, body: '' },
  { name: '204 has no body', text: 'HTTP/1.1 204 No Content\r\n\r\n', status: 204, body: '' },
]

test('answers come out the same however the bytes arrive', async t => {
  for (const row of wellFormed) {
    await t.test(row.name, () => {
      const stream = bytes(row.text)
      const whole = collect([stream], row.method, row.closed)
      assert.equal(whole.error, undefined)
      assert.equal(whole.heads[0]?.status, row.status)
      assert.equal(whole.body, row.body)
      assert.equal(whole.complete, 1)
      assert.equal(whole.surplus, false)
      for (let cut = 0; cut <= stream.length; cut++) {
        const pieces = [stream.subarray(0, cut), stream.subarray(cut)]
        assert.deepEqual(collect(pieces, row.method, row.closed), whole, `cut at ${cut}`)
      }
      const single = Array.from(stream, (_, at) => stream.subarray(at, at + 1))
      assert.deepEqual(collect(single, row.method, row.closed), whole)
    })
  }
})

const head = 'HTTP/1.1 200 OK\r\n'
const refused: readonly { name: string; text: string; closed?: boolean }[] = [
  { name: 'both framings', text: `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n` },
  { name: 'both framings, the other order', text: `${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n` },
  { name: 'two lengths', text: `${head}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello` },
  { name: 'a list of lengths', text: `${head}Content-Length: 5, 5\r\n\r\nhello` },
  { name: 'a signed length', text: `${head}Content-Length: +5\r\n\r\nhello` },
  { name: 'an empty length', text: `${head}Content-Length:\r\n\r\nhello` },
  { name: 'an enormous length', text: `${head}Content-Length: 99999999999999999999\r\n\r\n` },
  { name: 'an unknown coding', text: `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n` },
  { name: 'coding identity', text: `${head}Transfer-Encoding: identity\r\n\r\n` },
  { name: 'coding twice', text: `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n` },
  { name: 'chunked in HTTP/1.0', text: 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' },
  { name: 'a folded line', text: `${head}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n` },
  { name: 'a bare LF', text: `${head}X-A: b\nContent-Length: 0\r\n\r\n` },
  { name: 'a bare LF after the status line', text: 'HTTP/1.1 200 OK\nContent-Length: 0\n\n' },
  { name: 'a bare CR', text: `${head}X-A: b\rX-B: c\r\n\r\n` },
  { name: 'NUL in a value', text: `${head}X-A: b\0c\r\n\r\n` },
  { name: 'a space before the colon', text: `${head}Content-Length : 5\r\n\r\nhello` },
  { name: 'a header without a name', text: `${head}: x\r\n\r\n` },
  { name: 'a line without a colon', text: `${head}nonsense\r\n\r\n` },
  { name: 'HTTP/2', text: 'HTTP/2 200 OK\r\n\r\n' },
  { name: 'another protocol', text: 'SSH-2.0-OpenSSH\r\n\r\n' },
  { name: 'an empty line first', text: `\r\n${head}\r\n` },
  { name: 'status of two digits', text: 'HTTP/1.1 20 OK\r\n\r\n' },
  { name: '101', text: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n' },
  { name: 'a chunk size with 0x', text: `${head}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n` },
  { name: 'a negative chunk size', text: `${head}Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n` },
  { name: 'an empty chunk size', text: `${head}Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n` },
  { name: 'an enormous chunk size', text: `${head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n` },
  { name: 'a chunk longer than its size', text: `${head}Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n` },
  { name: 'a bare LF after a chunk size', text: `${head}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n` },
  {
    name: 'a bare LF in a chunk extension',
    text: `${head}Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n`,
  },
  {
    name: 'a bare CR in a chunk extension',
    text: `${head}Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n`,
  },
  { name: 'a chunk line that never ends', text: `${head}Transfer-Encoding: chunked\r\n\r\n5;${'a'.repeat(600)}` },
  { name: 'a trailer that is none', text: `${head}Transfer-Encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n` },
  { name: 'a head over the limit', text: `${head}X-A: ${'a'.repeat(2000)}` },
  { name: 'too many headers', text: `${head}${'X-A: b\r\n'.repeat(11)}\r\n` },
  { name: 'interim answers without end', text: 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(17) },
  { name: 'closed in the head', text: 'HTTP/1.1 200 OK\r\n', closed: true },
  { name: 'closed before anything', text: '', closed: true },
  { name: 'closed in the body', text: `${head}Content-Length: 5\r\n\r\nhell`, closed: true },
  { name: 'closed in a chunk', text: `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhel`, closed: true },
  {
    name: 'closed before the last chunk',
    text: `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    closed: true,
  },
]

test('what could be read in two ways is refused, however the bytes arrive', async t => {
  for (const row of refused) {
    await t.test(row.name, () => {
      const stream = bytes(row.text)
      assert.equal(collect([stream], 'GET', row.closed).error, 'http.bad_answer')
      for (let cut = 0; cut <= stream.length; cut += stream.length > 400 ? 97 : 1) {
        const got = collect([stream.subarray(0, cut), stream.subarray(cut)], 'GET', row.closed)
        assert.equal(got.error, 'http.bad_answer', `cut at ${cut}`)
        assert.equal(got.complete, 0)
      }
    })
  }
})

test('bytes after the end are not part of the answer and spoil the connection', () => {
  for (const text of [
    `${head}Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n`,
    `${head}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore`,
  ]) {
    const got = collect([bytes(text)])
    assert.equal(got.body, 'ok')
    assert.equal(got.complete, 1)
    assert.equal(got.surplus, true)
  }
  assert.equal(collect([bytes(`${head}Content-Length: 2\r\n\r\nno`)], 'HEAD').surplus, true)
})

test('the next answer begins where the last one ended', () => {
  const parser = new AnswerParser()
  let complete = 0
  const events: AnswerEvents = { head: () => {}, body: () => {}, complete: () => complete++ }
  for (let round = 0; round < 3; round++) {
    parser.begin('GET')
    parser.push(bytes(`${head}Content-Length: 2\r\n\r\nok`), events)
  }
  assert.equal(complete, 3)
  parser.push(bytes('HTTP'), events)
  assert.equal(parser.surplus, true)
})

test('a connection is kept when both sides would', () => {
  const keep = (text: string): boolean | undefined => collect([bytes(text)], 'HEAD').heads[0]?.keepAlive
  assert.equal(keep(`${head}\r\n`), true)
  assert.equal(keep(`${head}Connection: Close\r\n\r\n`), false)
  assert.equal(keep(`${head}Connection: x, close\r\n\r\n`), false)
  assert.equal(keep('HTTP/1.0 200 OK\r\n\r\n'), false)
  assert.equal(keep('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n'), true)
})

/** Deterministic: a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

test('random bodies in random chunks come out whole, in random pieces', () => {
  const next = random(7)
  for (let round = 0; round < 300; round++) {
    let body = ''
    let wire = `${head}Transfer-Encoding: chunked\r\n\r\n`
    for (let chunks = Math.floor(next() * 6); chunks > 0; chunks--) {
      const data = Array.from({ length: 1 + Math.floor(next() * 40) }, () =>
        String.fromCharCode(Math.floor(next() * 256)),
      ).join('')
      body += data
      wire += `${data.length.toString(16)}\r\n${data}\r\n`
    }
    const stream = bytes(`${wire}0\r\n\r\n`)
    const pieces: Buffer[] = []
    for (let at = 0; at < stream.length; ) {
      const size = 1 + Math.floor(next() * 30)
      pieces.push(stream.subarray(at, at + size))
      at += size
    }
    const got = collect(pieces)
    assert.equal(got.body, body)
    assert.equal(got.complete, 1)
  }
})

test('cut, flipped and random bytes end in a typed error or an answer, never otherwise', () => {
  const next = random(11)
  for (let round = 0; round < 3000; round++) {
    const row = wellFormed[round % wellFormed.length]
    const stream = bytes(row?.text ?? '')
    for (let flips = Math.floor(next() * 4); flips > 0; flips--) {
      stream[Math.floor(next() * stream.length)] = Math.floor(next() * 256)
    }
    const got = collect([stream.subarray(0, Math.floor(next() * (stream.length + 1)))], 'GET', true)
    assert.ok(got.complete <= 1)
    assert.ok(got.error === undefined || got.error === 'http.bad_answer')
  }
})

test('blanks round a value go, those inside stay, however many', () => {
  const inside = `a${' \t'.repeat(30_000)}b`
  const parser = new AnswerParser()
  parser.begin('GET')
  let headers: readonly string[] = []
  const text = `HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: \t ${inside} \t\r\nB:\r\nC: \t\r\nD:d\r\n\r\n`
  parser.push(bytes(text), {
    head: head => {
      headers = head.headers
    },
    body: () => {},
    complete: () => {},
  })
  assert.deepEqual(headers, ['Content-Length', '0', 'A', inside, 'B', '', 'C', '', 'D', 'd'])
})
