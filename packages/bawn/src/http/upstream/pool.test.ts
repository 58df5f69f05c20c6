import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { BodySource } from '../engine.ts'
import { startRawUpstream } from '../kit.test.ts'
import { upstreamOptions } from '../option.ts'
import { HttpError } from '../problem.ts'
import { createUpstream, type UpstreamDeps } from './pool.ts'
import type { Upstream, UpstreamRequest } from './upstream.ts'

interface Got {
  readonly status: number
  readonly body: string
}

function ask(upstream: Upstream, request: Partial<UpstreamRequest> = {}): Promise<Got> {
  const method = request.method ?? 'GET'
  return new Promise((resolve, reject) => {
    upstream.send(
      { method, target: '/', head: '', body: { kind: 'none' }, ...request },
      {
        fail: reject,
        answer: ({ head, whole, body }) => {
          if (whole !== undefined) {
            resolve({ status: head.status, body: whole.toString('latin1') })
            return
          }
          let text = ''
          body.start({
            chunk: bytes => {
              text += bytes.toString('latin1')
              return true
            },
            end: () => resolve({ status: head.status, body: text }),
            fail: reject,
          })
        },
      },
    )
  })
}

async function pool(
  t: TestContext,
  speak: (socket: Socket, count: number) => void,
  options: Record<string, unknown> = {},
  deps: UpstreamDeps = {},
): Promise<Upstream> {
  const url = await startRawUpstream(t, speak)
  const upstream = createUpstream('main', upstreamOptions.parse({ url, ...options }), deps)
  t.after(() => upstream.retire())
  return upstream
}

const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof HttpError, String(error))
  assert.equal(error.code, expected, error.message)
  return true
}

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

test('a connection is kept and used again', async t => {
  let connections = 0
  const upstream = await pool(t, (socket, count) => {
    connections = count
    socket.on('data', () => socket.write(ok))
  })
  for (let round = 0; round < 5; round++) assert.deepEqual(await ask(upstream), { status: 200, body: 'ok' })
  assert.equal(connections, 1)
})

test('a connection that said close, ran until close, or said too much is not used again', async t => {
  const answers = [
    'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
    `${ok}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged`,
    'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
  ]
  let connections = 0
  const upstream = await pool(t, (socket, count) => {
    connections = count
    socket.on('data', () => socket.write(answers[count - 1] ?? ok))
  })
  for (let round = 0; round < 4; round++) assert.deepEqual(await ask(upstream), { status: 200, body: 'ok' })
  assert.equal(connections, 4)
})

/** Whether the server says that it is done with the connection, or hears it from the other side, it closes it. */
function leaveBodiesUnread(seen: string[]): (socket: Socket) => void {
  return socket => {
    let text = ''
    socket.on('data', bytes => {
      text += bytes.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end)
        // What follows, a body too, is the next request to it.
        text = text.slice(end + 4)
        seen.push(head.split('\r\n', 1)[0] ?? '')
        socket.write(ok)
        if (/^Connection: close$/im.test(head)) return void socket.end()
      }
    })
  }
}

test('a server that leaves bodies unread gets no hidden request, where it is known to be one', async t => {
  const hidden = Buffer.from('GET /admin HTTP/1.1\r\nHost: a\r\n\r\n')
  const streamed = (length: number | undefined): UpstreamRequest['body'] => {
    const source: BodySource = {
      start: sink => {
        sink.chunk(hidden)
        sink.end()
      },
      resume: () => {},
      cancel: () => {},
    }
    return { kind: 'stream', source, length }
  }
  const bodies: readonly UpstreamRequest['body'][] = [
    { kind: 'bytes', bytes: hidden },
    streamed(hidden.length),
    streamed(undefined),
  ]
  for (const isKnown of [true, false]) {
    const seen: string[] = []
    const upstream = await pool(t, leaveBodiesUnread(seen), { reuse_after_body: !isKnown })
    for (const [round, body] of bodies.entries()) {
      for (const method of ['POST', 'PUT', 'PATCH'])
        await ask(upstream, { method, target: `/${round}`, body }).catch(() => {})
    }
    const own = seen.filter(line => /^(?:POST|PUT|PATCH) \/[012] /.test(line))
    assert.equal(own.length, 9)
    // With the default it is deceived: a gateway cannot see what a server has read.
    assert.equal(seen.includes('GET /admin HTTP/1.1'), !isKnown)
    if (isKnown) assert.deepEqual(seen, own)
  }
})

test('after a body that is read, the connection is kept; without a body it is kept in any case', async t => {
  for (const [reuse, expected] of [
    [true, 1],
    [false, 2],
  ] as const) {
    let connections = 0
    const speak = (socket: Socket, count: number): void => {
      connections = count
      socket.on('data', () => socket.write(ok))
    }
    const upstream = await pool(t, speak, { reuse_after_body: reuse })
    await ask(upstream)
    await ask(upstream, { method: 'POST' })
    await ask(upstream, { method: 'POST', body: { kind: 'bytes', bytes: Buffer.from('x') } })
    await ask(upstream)
    assert.equal(connections, expected)
  }
})

test('bytes that nobody asked for end an idle connection', async t => {
  let connections = 0
  const upstream = await pool(t, (socket, count) => {
    connections = count
    socket.on('data', () => {
      socket.write(ok)
      if (count === 1) setImmediate(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged'))
    })
    if (count === 1) socket.on('close', () => closed.resolve())
  })
  const closed = Promise.withResolvers<void>()
  assert.equal((await ask(upstream)).body, 'ok')
  await closed.promise
  assert.equal((await ask(upstream)).body, 'ok')
  assert.equal(connections, 2)
})

/** Answers once, and closes at the second request without a byte, as a server does whose idle time is up. */
function closesAtSecond(socket: Socket, count: number): void {
  let requests = 0
  socket.on('data', () => {
    requests++
    if (count === 1 && requests === 2) socket.destroy()
    else socket.write(ok)
  })
}

test('a request on a kept connection that had been closed is sent again when that is safe', async t => {
  const upstream = await pool(t, closesAtSecond)
  assert.equal((await ask(upstream)).body, 'ok')
  assert.equal((await ask(upstream)).body, 'ok')
})

test('a POST is not sent again', async t => {
  const upstream = await pool(t, closesAtSecond)
  assert.equal((await ask(upstream)).body, 'ok')
  await assert.rejects(ask(upstream, { method: 'POST' }), code('http.bad_answer'))
})

test('a request whose answer began is not sent again', async t => {
  const upstream = await pool(t, (socket, count) => {
    let requests = 0
    socket.on('data', () => {
      if (count === 1 && ++requests === 2) socket.end('HTTP/1.1 2')
      else socket.write(ok)
    })
  })
  assert.equal((await ask(upstream)).body, 'ok')
  await assert.rejects(ask(upstream), code('http.bad_answer'))
})

test('a first connection that is closed at once is not tried again', async t => {
  let connections = 0
  const upstream = await pool(t, (socket, count) => {
    connections = count
    socket.on('data', () => socket.destroy())
  })
  await assert.rejects(ask(upstream), code('http.bad_answer'))
  assert.equal(connections, 1)
})

test('times out: no connection, no answer, no more of the answer', async t => {
  const silent = await pool(t, () => {}, { response_timeout: '40ms' })
  await assert.rejects(ask(silent), code('http.upstream_timeout'))
  const stalling = await pool(
    t,
    socket => socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe')),
    {
      idle_timeout: '40ms',
    },
  )
  await assert.rejects(ask(stalling), code('http.upstream_timeout'))
  const dripping = await pool(t, socket => socket.on('data', () => socket.write('HTTP/1.1 20')), {
    response_timeout: '40ms',
  })
  await assert.rejects(ask(dripping), code('http.upstream_timeout'))
})

test('an upstream that is not there is unreachable', async t => {
  const url = await startRawUpstream(t, () => {})
  const upstream = createUpstream('main', upstreamOptions.parse({ url: url.replace(/\d+$/, '1') }))
  await assert.rejects(ask(upstream), code('http.upstream_unreachable'))
})

test('requests wait for a connection, in order, no more than the queue holds, and not for ever', async t => {
  const held: Socket[] = []
  const upstream = await pool(
    t,
    socket => socket.on('data', () => held.push(socket)),
    { max_connections: 1, connect_timeout: '500ms' },
    { maxWaiting: 1 },
  )
  const first = ask(upstream)
  const second = ask(upstream)
  const third = ask(upstream)
  await assert.rejects(third, code('http.upstream_busy'))
  await assert.rejects(second, code('http.upstream_busy'))
  const fourth = ask(upstream)
  held[0]?.write(ok)
  assert.equal((await first).body, 'ok')
  while (held.length < 2) await new Promise(resolve => setImmediate(resolve))
  held[1]?.write(ok)
  assert.equal((await fourth).body, 'ok')
})

test('a reader that waits makes the upstream wait', async t => {
  const total = 32 * 1024 * 1024
  let written = 0
  const upstream = await pool(t, socket => {
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`)
      const piece = Buffer.alloc(65_536)
      const more = (): void => {
        while (written < total) {
          written += piece.length
          if (!socket.write(piece)) {
            socket.once('drain', more)
            return
          }
        }
      }
      more()
    })
  })
  const size = await new Promise<number>((resolve, reject) => {
    upstream.send(
      { method: 'GET', target: '/', head: '', body: { kind: 'none' } },
      {
        fail: reject,
        answer: ({ body }) => {
          let got = 0
          let waited = false
          body.start({
            chunk: bytes => {
              got += bytes.length
              if (waited) return true
              waited = true
              // A hundred turns of the loop: what the upstream can write into sockets, it has written by then.
              let turns = 100
              const turn = (): void => {
                if (turns-- > 0) setImmediate(turn)
                else {
                  assert.ok(written < total, 'the upstream wrote everything while nobody read')
                  body.resume()
                }
              }
              turn()
              return false
            },
            end: () => resolve(got),
            fail: reject,
          })
        },
      },
    )
  })
  assert.equal(size, total)
})

/** A body of pieces, each after `resume` or a turn of the loop. */
function source(pieces: readonly string[]): BodySource & { cancelled: boolean } {
  return {
    cancelled: false,
    start(sink) {
      const next = (at: number): void => {
        if (this.cancelled) return
        const piece = pieces[at]
        if (piece === undefined) sink.end()
        else {
          sink.chunk(Buffer.from(piece))
          setImmediate(next, at + 1)
        }
      }
      next(0)
    },
    resume: () => {},
    cancel() {
      this.cancelled = true
    },
  }
}

test('bodies are framed by their length, or in chunks', async t => {
  let seen = ''
  const upstream = await pool(t, socket =>
    socket.on('data', bytes => {
      seen += bytes.toString('latin1')
      if (/hello world$|0\r\n\r\n$|small$/.test(seen)) socket.write(ok)
    }),
  )
  const pieces = ['hello', ' ', 'world']
  await ask(upstream, { method: 'POST', body: { kind: 'stream', source: source(pieces), length: 11 } })
  assert.match(seen, /\r\nContent-Length: 11\r\n\r\nhello world$/)
  seen = ''
  await ask(upstream, { method: 'POST', body: { kind: 'stream', source: source(pieces), length: undefined } })
  assert.match(seen, /\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n$/)
  seen = ''
  await ask(upstream, { method: 'PUT', body: { kind: 'bytes', bytes: Buffer.from('small') } })
  assert.match(seen, /\r\nContent-Length: 5\r\n\r\nsmall$/)
  seen = ''
  const empty = ask(upstream, { method: 'POST' })
  while (!seen.endsWith('\r\n\r\n')) await new Promise(resolve => setImmediate(resolve))
  assert.match(seen, /\r\nContent-Length: 0\r\n\r\n$/)
  upstream.retire()
  empty.catch(() => {})
})

test('a body of a method that has none by its definition is the last thing on its connection', async t => {
  const heads: string[] = []
  const upstream = await pool(t, (socket, count) =>
    socket.on('data', bytes => {
      const text = bytes.toString('latin1')
      heads.push(`${count} ${text.slice(0, text.indexOf('\r\n\r\n'))}`)
      // It does not close, whatever it was asked for.
      socket.write(text.startsWith('HEAD') ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n' : ok)
    }),
  )
  const bytes = Buffer.from('GET /hidden HTTP/1.1\r\n')
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS'])
    await ask(upstream, { method, body: { kind: 'bytes', bytes } })
  await ask(upstream, { method: 'GET', body: { kind: 'stream', source: source(['x']), length: 1 } })
  await ask(upstream, { method: 'POST', body: { kind: 'bytes', bytes } })
  await ask(upstream, { method: 'GET' })
  assert.deepEqual(
    heads.map(text => `${/^\d+ [A-Z]+/.exec(text)?.[0]} ${text.includes('\r\nConnection: close')}`),
    ['1 GET true', '2 HEAD true', '3 DELETE true', '4 OPTIONS true', '5 GET true', '6 POST false', '6 GET false'],
  )
})

test('an answer that comes before the end of the request ends the request, and the connection', async t => {
  let connections = 0
  const upstream = await pool(t, (socket, count) => {
    connections = count
    socket.once('data', () => socket.write('HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno'))
  })
  const endless: BodySource & { cancelled: boolean } = source(Array.from({ length: 1_000_000 }, () => 'x'))
  const got = await ask(upstream, { method: 'POST', body: { kind: 'stream', source: endless, length: undefined } })
  assert.deepEqual(got, { status: 413, body: 'no' })
  assert.equal(endless.cancelled, true)
  await ask(upstream)
  assert.equal(connections, 2)
})

test('who gives up closes the connection', async t => {
  const closed = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  const upstream = await pool(t, socket => {
    socket.on('data', () => arrived.resolve())
    socket.on('close', () => closed.resolve())
  })
  const giveUp = upstream.send(
    { method: 'GET', target: '/', head: '', body: { kind: 'none' } },
    { answer: () => assert.fail('answered'), fail: () => assert.fail('failed') },
  )
  await arrived.promise
  giveUp()
  await closed.promise
})

test('an idle connection is closed before the upstream would, and all of them when retired', async t => {
  const upstream = await pool(
    t,
    socket => {
      socket.on('data', () => socket.write(ok))
      socket.on('close', () => closed.resolve())
    },
    {},
    { keepMs: 20 },
  )
  const closed = Promise.withResolvers<void>()
  await ask(upstream)
  await closed.promise
  const [socket] = await new Promise<Socket[]>(resolve => {
    const seen: Socket[] = []
    pool(t, peer => {
      seen.push(peer)
      peer.on('data', () => peer.write(ok))
    }).then(async other => {
      await ask(other)
      other.retire()
      resolve(seen)
    })
  })
  if (socket?.destroyed === false) await once(socket, 'close')
})

test('what came on one connection is not what came on another, however long it is held', async t => {
  const upstream = await pool(t, (socket, count) => {
    const letter = String.fromCharCode(96 + count)
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n')
      // Several reads at the other side.
      let left = 3
      const turn = (): void => {
        socket.write(letter.repeat(1000))
        if (--left > 0) setImmediate(turn)
      }
      setImmediate(turn)
    })
  })
  const held = (): Promise<Buffer[]> =>
    new Promise((resolve, reject) => {
      const pieces: Buffer[] = []
      upstream.send(
        { method: 'GET', target: '/', head: '', body: { kind: 'none' } },
        {
          fail: reject,
          answer: ({ whole, body }) => {
            if (whole !== undefined) resolve([whole])
            else body.start({ chunk: bytes => pieces.push(bytes) > 0, end: () => resolve(pieces), fail: reject })
          },
        },
      )
    })
  const all = await Promise.all(Array.from({ length: 8 }, held))
  const texts = all.map(pieces => Buffer.concat(pieces).toString()).sort()
  assert.deepEqual(
    texts,
    [...'abcdefgh'].map(letter => letter.repeat(3000)),
  )
})

test('a request that is sent again keeps to the limit of connections', async t => {
  let open = 0
  let most = 0
  const upstream = await pool(
    t,
    (socket, count) => {
      most = Math.max(most, ++open)
      socket.on('close', () => open--)
      let asked = 0
      socket.on('data', () => {
        if (count === 1 && ++asked === 2) socket.destroy()
        else socket.write(ok)
      })
    },
    { max_connections: 1 },
  )
  await ask(upstream)
  const answers = await Promise.all([ask(upstream), ask(upstream), ask(upstream)])
  assert.deepEqual(
    answers.map(({ body }) => body),
    ['ok', 'ok', 'ok'],
  )
  assert.equal(most, 1)
})
