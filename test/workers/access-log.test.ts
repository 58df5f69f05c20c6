import assert from 'node:assert/strict'
import { readFileSync, renameSync, statSync } from 'node:fs'
import { after, before, type TestContext, test } from 'node:test'
import pg from 'pg'
import { type Gateway, password, startWorkersWorld, type WorkersWorld } from './workers-kit.ts'

// The access log of a gateway as its own process, by one worker and by two: what it says, and how it is rotated.

let world: WorkersWorld
before(async () => {
  world = await startWorkersWorld()
})
after(() => world?.stop())

async function start(t: TestContext): Promise<Gateway> {
  const gateway = await world.start()
  t.after(async () => {
    gateway.child.kill('SIGKILL')
    await gateway.ended
  })
  return gateway
}

const basic = { authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}` }
const secret = 'hunter2hunter2'

async function until<T>(find: () => T | undefined): Promise<T> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const found = find()
    if (found !== undefined) return found
    assert.ok(Date.now() < deadline, 'it did not come to that')
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

const linesOf = (name: string): Record<string, unknown>[] => {
  const text = readFileSync(world.path(name), 'utf8')
  return text === ''
    ? []
    : text
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line))
}

for (const workers of [1, 2]) {
  test(`${workers}: each request and session is a line, without a secret, also after a rotation`, {
    timeout: 120_000,
  }, async t => {
    const file = `access-${workers}.log`
    world.configure(`access_log: { file: ${file}, redact: [mine] }\n`, workers)
    const gateway = await start(t)
    const asked = Array.from({ length: 40 }, (_, at) =>
      gateway.ask(`/a?at=${at}&token=${secret}&Mine=${secret}`, { ...basic, 'user-agent': `t\u00e9st "${at}"` }),
    )
    for (const { status } of await Promise.all(asked)) assert.equal(status, 200)
    assert.equal((await gateway.ask('/a')).status, 401)
    const client = new pg.Client(gateway.client('alice', { application_name: 'reports' }))
    await client.connect()
    await client.query(`select '${secret}'`)
    await client.end()
    await assert.rejects(new pg.Client(gateway.client('alice', { password: secret })).connect())
    const lines = await until(() => {
      const all = linesOf(file)
      return all.length >= 43 ? all : undefined
    })
    assert.equal(lines.length, 43)
    const permitted = lines.filter(({ status }) => status === 200)
    assert.deepEqual(
      permitted.map(({ target }) => target).sort(),
      Array.from({ length: 40 }, (_, at) => `/a?at=${at}&token=***&Mine=***`).sort(),
    )
    assert.deepEqual(
      [permitted[0]?.['identity'], permitted[0]?.['mechanism'], permitted[0]?.['route'], permitted[0]?.['bytes']],
      ['alice', 'basic', '/*', 5],
    )
    const sessions = lines.filter(({ door }) => door === 'postgres')
    assert.deepEqual(
      sessions.map(({ identity, database, application_name, code }) => [identity, database, application_name, code]),
      [
        ['alice', 'shop', 'reports', undefined],
        [undefined, 'shop', '', 'wrong-password'],
      ],
    )
    assert.ok(Number(sessions[0]?.['bytes_out']) > secret.length)
    const text = readFileSync(world.path(file), 'utf8')
    for (const never of [secret, password, basic.authorization.slice(6), 'select'])
      assert.ok(!text.includes(never), never)
    assert.equal(statSync(world.path(file)).mode & 0o777, 0o600)

    // As logrotate does it.
    renameSync(world.path(file), world.path(`${file}.1`))
    const from = gateway.log().length
    gateway.child.kill('SIGHUP')
    await gateway.logged(/reloaded|nothing changed|no change/i, from)
    await gateway.ask('/after', basic)
    await until(() => (linesOf(file).length === 1 ? true : undefined))
    assert.equal(linesOf(`${file}.1`).length, 43)
    assert.doesNotMatch((await gateway.desk('/metrics')).body, /^bawn_access_log_dropped_lines_total [1-9]/m)
    // The last lines are there when it has stopped.
    await gateway.ask('/last', basic)
    gateway.child.kill('SIGTERM')
    await gateway.ended
    assert.deepEqual(
      linesOf(file).map(({ target }) => target),
      ['/after', '/last'],
    )
  })
}

test('a full disk stops no request: lines are dropped, counted, and the log says so once', {
  timeout: 60_000,
}, async t => {
  world.configure('access_log: { file: /dev/full }\n', 1)
  const gateway = await start(t)
  for (let at = 0; at < 3; at++) {
    assert.equal((await gateway.ask('/a', basic)).status, 200)
    await until(() => (gateway.log().includes('the access log cannot be written') ? true : undefined))
  }
  assert.equal(gateway.log().split('the access log cannot be written').length, 2)
  const { body } = await gateway.desk('/metrics')
  assert.ok(Number(/^bawn_access_log_dropped_lines_total (\d+)$/m.exec(body)?.[1]) >= 1, body)
  gateway.child.kill('SIGTERM')
  await gateway.ended
})

test('lines go to the standard output, in the combined format', { timeout: 60_000 }, async t => {
  world.configure('access_log: { stdout: true, format: combined }\n', 2)
  const gateway = await start(t)
  await gateway.ask('/a?x=1', { ...basic, 'user-agent': 'test' })
  await gateway.logged(/^127\.0\.0\.1 - alice \[[^\]]+\] "GET \/a\?x=1 HTTP\/1\.1" 200 5 "-" "test"$/m)
  gateway.child.kill('SIGTERM')
  await gateway.ended
})
