import assert from 'node:assert/strict'
import { test } from 'node:test'
import { payloads } from './fronts.ts'
import { answers, type Engine, engines, exchange, type Gateway, startGateway } from './gateway.ts'
import { install } from './install.ts'
import { bad, denied, type Payload } from './payload.ts'
import { type Seen, type Server, servers } from './servers.ts'

// Bawn in front of real servers. Behind each payload comes a canary on the same connection; then somebody else asks for something on a
// connection of their own, which goes to the server where the payload has been. What the server has seen is what Bawn decided on, and
// nothing else: every request carries an id that Bawn has given out, once, to a request that it permitted.

const canary = 'GET /admin/canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
/** Refusals behind which nothing more is taken from a connection. */
const endings = new Set([bad, 'http.expectation_failed', 'http.header_too_large'])
const deadlineMs = 10_000

const installed = await install()

for (const [name, start] of Object.entries(servers(installed))) {
  test(`in front of ${name}`, async t => {
    const server = await start()
    t.after(() => server.stop())
    const gateway = await startGateway(t, server.port)
    const faults: string[] = []
    for (const engine of engines) {
      for (const payload of payloads) {
        await check(gateway, engine, server, payload).catch(error => {
          faults.push(`${engine}, ${payload.name}: ${faultOf(error)}`)
        })
        assert.ok(faults.length < 30, faults.join('\n'))
      }
    }
    assert.deepEqual(faults, [])
    const trail = gateway.trail()
    const ids = new Set<string>()
    for (const seen of server.seen) {
      const what = JSON.stringify(seen)
      assert.ok(seen.id !== undefined && !ids.has(seen.id), `a request that Bawn has not sent: ${what}`)
      ids.add(seen.id)
      const decided = trail.get(seen.id)
      assert.deepEqual([decided?.method, decided?.resource], [seen.method, '/*'], what)
      // What broke off on its way was permitted too, and then ended in an error.
      assert.match(decided?.decision ?? 'none', /^(?:permit|error)$/, what)
      assert.ok(!isGuarded(seen.target) && !isGuarded(seen.path), `a guarded path was reached: ${what}`)
    }
    assert.ok(ids.size > 2 * payloads.length)
  })
}

function faultOf(error: unknown): string {
  if (!(error instanceof assert.AssertionError)) return String(error)
  return `${error.generatedMessage ? '' : error.message} ${JSON.stringify(error.actual)} instead of ${JSON.stringify(error.expected)}`
}

let count = 0

async function check(gateway: Gateway, engine: Engine, server: Server, payload: Payload): Promise<void> {
  const { text, outcome, open = false, closes = false } = payload
  const port = gateway.ports[engine]
  const before = server.seen.length
  const got = answers(await exchange(port, open ? text : text + canary, open), methodsOf(outcome))
  const goesOn = !closes && !open && !endings.has(typeof outcome === 'string' ? outcome : 'ok')
  const nodeHttp = engine === 'node-http' ? payload.nodeHttp : undefined
  const expected = nodeHttp?.answers ??
    payload.answers ?? [
      ...(typeof outcome === 'string' ? [outcome] : outcome.map(() => 'ok')),
      ...(goesOn ? [denied] : []),
    ]
  // A server that closes with bytes unread resets the connection, and may take its answer along.
  const codes = got.map(answer => (codeOf(answer) === 'http.bad_answer' && server.leavesBodies ? 'ok' : codeOf(answer)))
  assert.deepEqual(codes, expected)

  const target = `/next?${++count}`
  const [next] = answers(await exchange(port, `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`))
  assert.equal(next?.status, 200, next?.body)
  assert.equal(JSON.parse(next.body).target, target, 'the next client gets its own answer')
  const isNext = (seen: Seen): boolean => seen.target === target
  for (const end = Date.now() + deadlineMs; !server.seen.slice(before).some(isNext); ) {
    assert.ok(Date.now() < end, 'the next request was seen')
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  let whole = server.seen.slice(before).filter(seen => seen.whole && !isNext(seen))
  // What was given up, here or in the row before, may come late.
  if (engine === 'node-http') {
    const trail = gateway.trail()
    whole = whole.filter(seen => seen.body !== '' || trail.get(seen.id ?? '')?.decision !== 'error')
  }
  const saw = whole.map(seen => `${seen.method} ${seen.target} ${seen.body}`)
  const wanted = nodeHttp?.seen ?? (typeof outcome === 'string' ? [] : outcome)
  if (wanted === 'perhaps') assert.ok(saw.length === 0 || saw.every(line => outcome.includes(line)), String(saw))
  else assert.deepEqual(saw, server.leavesBodies === true ? wanted.map(withoutBody) : wanted)
}

function methodsOf(outcome: Payload['outcome']): readonly string[] {
  return typeof outcome === 'string' ? ['GET'] : [...outcome.map(line => line.split(' ', 1)[0] ?? ''), 'GET']
}

/** That server does not look at bodies of these methods. */
function withoutBody(line: string): string {
  return /^(?:GET|HEAD|OPTIONS|DELETE) \S+ /.exec(line)?.[0] ?? line
}

function codeOf({ status, body }: { readonly status: number; readonly body: string }): string {
  if (status === 200) return 'ok'
  return body.startsWith('{') ? JSON.parse(body).code : `${status}`
}

/** Whether some server may take it for `/admin`, by whatever it decodes, cuts and folds. */
function isGuarded(target: string): boolean {
  let path = target.replace(/\?.*$/s, '')
  for (let before = ''; before !== path; ) {
    before = path
    path = path.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  }
  path = path.replaceAll('\\', '/').replace(/;[^/]*/g, '')
  const kept: string[] = []
  for (const segment of path.split(/\/+/)) {
    if (segment === '..') kept.pop()
    else if (segment !== '.' && segment !== '') kept.push(segment)
  }
  return /^admin[. \0]*$/i.test(kept[0] ?? '')
}
