import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { exchange, writeConfiguration } from './gateway.ts'

// Clients and servers that take their time, or never come to an end, all at once. Bawn is a process of its own here: what it holds of memory
// is looked at, and somebody else is served meanwhile.

const each = 40
const mostGrowth = 256 * 1024 * 1024
const deadlineMs = 60_000

/** What a server says that does not keep to the protocol, for as long as somebody listens. */
const liars: Readonly<Record<string, { readonly first: string; readonly on?: string }>> = {
  'interim-answers': { first: '', on: 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n' },
  'endless-head': { first: 'HTTP/1.1 200 OK\r\n', on: `X: ${'y'.repeat(1_000)}\r\n` },
  'endless-line': { first: 'HTTP/1.1 200 OK\r\nX: ', on: 'y'.repeat(1_000) },
  'endless-chunk-line': { first: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;', on: 'y'.repeat(1_000) },
  'endless-trailers': {
    first: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n',
    on: 'X: y\r\n'.repeat(100),
  },
  short: { first: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc' },
  long: { first: 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcSECRET' },
  'two-answers': {
    first: 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSECRET',
  },
  'half-closed': { first: 'HTTP/1.1 200 OK\r\nContent-Le' },
  silent: { first: '' },
}

/** An upstream that lies by name, and is honest at every other path. */
async function startLiar(): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let received = ''
    socket.on('data', bytes => {
      received = (received + bytes.toString('latin1')).slice(-20_000)
      const end = received.indexOf('\r\n\r\n')
      if (end === -1) return
      const [, name = ''] = /^[A-Z]+ \/([a-z-]*)/.exec(received) ?? []
      received = ''
      speak(socket, name)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert(address !== null && typeof address === 'object')
  const close = (): void => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return { port: address.port, close }
}

function speak(socket: Socket, name: string): void {
  const lie = liars[name]
  if (name === 'endless-body') {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    pour(socket, `10000\r\n${'z'.repeat(65_536)}\r\n`)
  } else if (lie === undefined) {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  } else {
    socket.write(lie.first)
    if (name === 'half-closed' || name === 'short') socket.end()
    if (lie.on !== undefined) pour(socket, lie.on)
  }
}

function pour(socket: Socket, text: string): void {
  const go = (): void => {
    while (!socket.destroyed && socket.write(text, 'latin1'));
  }
  socket.on('drain', go)
  go()
}

/** Runs until the test is over, and its folder goes with it; also where it does not come to serve: a child that is left keeps the tests from ending. */
async function startBawn(t: TestContext, folder: string): Promise<{ child: ChildProcess; port: number }> {
  const bin = join(import.meta.dirname, '../../packages/bawn/bin/bawn.js')
  const child = spawn(process.execPath, [bin, 'start', '--config', join(folder, 'bawn.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  let said = ''
  child.stderr.on('data', bytes => {
    said += String(bytes)
  })
  child.stdout.on('data', bytes => {
    said += String(bytes)
  })
  for (const end = Date.now() + deadlineMs; ; ) {
    const port = /llhttp\D+127\.0\.0\.1:(\d+)/.exec(said)?.[1]
    if (port !== undefined) return { child, port: Number(port) }
    assert.ok(child.exitCode === null && Date.now() < end, `bawn does not start: ${said}`)
    await pause(20)
  }
}

function residentBytes(child: ChildProcess): number {
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) * 1024
}

/** A client that writes a first piece, and then one again and again until it is thrown out. @returns what it was told */
async function drip(port: number, first: string, then: string | undefined): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', bytes => {
    text += bytes.toString('latin1')
  })
  socket.on('error', () => {})
  socket.write(first)
  const timer = setInterval(() => then !== undefined && socket.writable && socket.write(then), 20)
  await new Promise(resolve => socket.once('close', resolve))
  clearInterval(timer)
  return text
}

/** A client that asks and does not read. */
async function neverReads(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write('GET /endless-body HTTP/1.1\r\nHost: a\r\n\r\n')
  socket.pause()
  await pause(3_000)
  socket.destroy()
}

test('slow and endless clients and servers hold little memory, and hold up nobody', async t => {
  const liar = await startLiar()
  t.after(() => liar.close())
  // Long enough that a busy machine does not make an honest client or server late.
  const folder = writeConfiguration(liar.port, {
    listener: 'header_timeout: 5s, request_timeout: 15s, keep_alive_timeout: 1s, max_body_bytes: 1000000',
    upstream: 'response_timeout: 10s, idle_timeout: 2s',
  })
  const { child, port } = await startBawn(t, folder)
  const others = async (): Promise<void> => {
    const text = await exchange(port, 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    assert.match(text, /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nok$/)
  }
  for (let round = 0; round < 50; round++) await others()
  const before = residentBytes(child)
  let most = before
  let served = 0
  let over = false
  const watching = (async () => {
    while (!over) {
      await others()
      served++
      most = Math.max(most, residentBytes(child))
    }
  })()

  // Whose answer could come before the end of the request, does not.
  const head = 'POST /silent HTTP/1.1\r\nHost: a\r\n'
  const close = 'Host: a\r\nConnection: close\r\n\r\n'
  const many = <T>(make: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: each }, make))
  const tooMuch = `${head}Transfer-Encoding: chunked\r\n\r\n100000\r\n${'x'.repeat(0x100000)}\r\n`
  const tooLong = await Promise.all([
    many(() => drip(port, `${head}Content-Length: 1000001\r\n\r\n`, undefined)),
    many(() => drip(port, tooMuch, undefined)),
  ])
  for (const text of tooLong.flat()) assert.match(text, /^HTTP\/1\.1 413 /)
  const slow = await Promise.all([
    many(() => drip(port, 'GET / HTTP/1.1\r\nHost: a\r\n', 'X: y\r\n')),
    many(() => drip(port, 'GET /', 'x')),
    many(() => drip(port, `${head}Content-Length: 100000\r\n\r\n`, 'x')),
    many(() => drip(port, `${head}Transfer-Encoding: chunked\r\n\r\n`, '1\r\nx\r\n')),
    many(() => drip(port, `${head}Transfer-Encoding: chunked\r\n\r\n1;`, 'x')),
  ])
  for (const text of slow.flat()) assert.match(text, /^HTTP\/1\.1 408 /)
  await Promise.all([many(() => neverReads(port)), many(() => drip(port, '', undefined))])
  for (const name of Object.keys(liars)) {
    const told = await many(() => exchange(port, `GET /${name} HTTP/1.1\r\n${close}`))
    for (const text of told) {
      assert.doesNotMatch(text, /SECRET/, name)
      const good = { long: 'abc', 'two-answers': 'abc' }[name]
      if (good !== undefined) assert.match(text, /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nabc$/, name)
      // Cut: shorter than it says, or without the end of its chunks; else refused.
      else if (text.startsWith('HTTP/1.1 200')) assert.doesNotMatch(text, /\r\n0\r\n\r\n$/, name)
      else assert.match(text, name === 'silent' ? /^HTTP\/1\.1 504 / : /^HTTP\/1\.1 502 /, name)
    }
  }
  over = true
  await watching
  assert.ok(served > 10, `others were served ${served} times`)
  const growth = Math.round((most - before) / 1024 / 1024)
  t.diagnostic(`others were served ${served} times; at most ${growth} MiB more than before`)
  assert.ok(most - before < mostGrowth, `${growth} MiB more`)
})
