import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { generateAuditKey, generateKeys } from './keys/generate.ts'
import { type RunningServer, startServer } from './server.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-server-'))
after(() => rmSync(folder, { recursive: true }))
const configPath = join(folder, 'bawn.yaml')
const masterKey = randomBytes(32)
writeFileSync(join(folder, 'master'), masterKey.toString('base64'), { mode: 0o600 })
for (const store of ['keys', 'others']) {
  generateAuditKey({ path: join(folder, store), masterKey })
  generateKeys({ path: join(folder, store), masterKey, clientId: 'shop-fields' })
}

/** An issuer whose keys come when they are let go. */
const asked = Promise.withResolvers<void>()
const letGo = Promise.withResolvers<void>()
const issuer = createServer((_request, response) => {
  asked.resolve()
  letGo.promise.then(() => response.end('{"keys":[]}'))
}).listen(0, '127.0.0.1')
after(() => issuer.close())

function write(more: string, store = 'keys'): void {
  writeFileSync(
    configPath,
    `listeners: { desk: { door: admin, address: 127.0.0.1:0, token_file: admin.token } }
keys: { store: { kind: directory, path: ${store} }, master: file:master, client_id: shop-fields }
audit: { file: audit.jsonl }
${more}`,
  )
}

function slowIssuer(): string {
  const address = issuer.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return `issuers: { slow: { issuer: a, audience: [b], jwks: "http://127.0.0.1:${port}/", insecure_http: true } }\n`
}

async function running(use: (server: RunningServer) => Promise<void>): Promise<void> {
  const server = await startServer({ configPath, log: () => {}, clock: Date.now })
  try {
    await use(server)
  } finally {
    await server.close(0)
  }
}

test('of two reloads at once the later file is in force', async () => {
  write('')
  await running(async server => {
    write(slowIssuer())
    const first = server.reload()
    await asked.promise
    write('policies: { late: { roles: [late] } }\n')
    const second = server.reload()
    letGo.resolve()
    assert.equal((await first).kind, 'reloaded')
    assert.equal((await second).kind, 'reloaded')
    assert.deepEqual(await server.reload(), { kind: 'reloaded', changes: [], warnings: [] })
  })
})

test('a reload that ends after the gateway began to stop changes nothing', async () => {
  write('')
  let late: Promise<{ readonly kind: string }> | undefined
  await running(async server => {
    late = server.reload()
    await server.close(0)
  })
  assert.equal((await late)?.kind, 'refused')
})

test('a store with another audit key is refused: the next start could not go on with the trail', async () => {
  write('')
  await running(async server => {
    write('', 'others')
    const result = await server.reload()
    assert.equal(result.kind, 'refused')
    assert.match(result.kind === 'refused' ? (result.problems[0]?.message ?? '') : '', /audit key/)
  })
})

test('metrics tell that the trail can be written again, though nobody asks for readiness', async () => {
  write('')
  await running(async server => {
    const metric = async () => {
      const answer = await fetch(`http://${server.addresses['desk']}/metrics`)
      return /^bawn_audit_writable .*$/m.exec(await answer.text())?.[0]
    }
    const file = join(folder, 'audit.jsonl')
    const { size } = statSync(file)
    appendFileSync(file, 'x')
    await server.reload()
    assert.equal(await metric(), 'bawn_audit_writable 0')
    truncateSync(file, size)
    assert.equal(await metric(), 'bawn_audit_writable 1')
  })
})

test('a start that fails gives everything back', async () => {
  const taken = issuer.address()
  const port = typeof taken === 'object' ? taken?.port : undefined
  write('')
  const good = readFileSync(configPath, 'utf8')
  writeFileSync(configPath, good.replace('127.0.0.1:0', `127.0.0.1:${port}`))
  await assert.rejects(startServer({ configPath, log: () => {}, clock: Date.now }), { code: 'admin.listen' })
  writeFileSync(
    configPath,
    good.replace(/^listeners: .*/, `listeners: { web: { door: http, address: "127.0.0.1:${port}" } }`),
  )
  await assert.rejects(startServer({ configPath, log: () => {}, clock: Date.now }), { code: 'gateway.listen' })
  writeFileSync(configPath, good)
  await running(async server => assert.equal((await server.reload()).kind, 'reloaded'))
})

test('an address that is taken stops the start, and the error names it', async () => {
  const taken = issuer.address()
  const port = typeof taken === 'object' ? taken?.port : undefined
  write('')
  const web = `listeners: { web: { door: http, address: "127.0.0.1:${port}" }, `
  writeFileSync(configPath, readFileSync(configPath, 'utf8').replace('listeners: { ', web))
  await assert.rejects(startServer({ configPath, log: () => {}, clock: Date.now }), {
    code: 'gateway.listen',
    message: `listener web cannot have 127.0.0.1:${port}`,
  })
})

test('a plug-in may come with a reload; its code cannot change under a running gateway', async () => {
  const plugin = (
    name: string,
  ) => `export default { name: '${name}', api: 1, mechanisms: [{ kind: '${name}', doors: ['http'],
    options: { '~standard': { version: 1, vendor: 'x', validate: value => ({ value }) } },
    create: () => ({ http: { authenticate: () => ({ kind: 'absent' }) } }) }] }\n`
  const named = (...names: readonly string[]) =>
    `plugins: { ${names.map(name => `${name}: { module: ./${name}.js }`).join(', ')} }\nmechanisms: { ${names.map(name => `${name}: {}`).join(', ')} }\n`
  for (const name of ['first', 'second']) writeFileSync(join(folder, `${name}.js`), plugin(name))
  const log: string[] = []
  write(named('first'))
  const server = await startServer({ configPath, log: line => log.push(line), clock: Date.now })
  try {
    const told = () =>
      log.map(line => /plug-in (\w+) runs with the rights of the gateway/.exec(line)?.[1]).filter(Boolean)
    assert.deepEqual(told(), ['first'])
    write(named('first', 'second'))
    const added = await server.reload()
    assert(added.kind === 'reloaded')
    assert.deepEqual(added.changes, ['plugins.second added', 'mechanisms changed'])
    assert.deepEqual(told(), ['first', 'second'])

    writeFileSync(join(folder, 'second.js'), `${plugin('second')}// more\n`)
    const changed = await server.reload()
    assert(changed.kind === 'refused')
    assert.deepEqual(
      changed.problems.map(({ path, message, suggestion }) => [path, message.split(':')[0], suggestion]),
      [
        [
          'plugins.second.module',
          'plugins.changed',
          'Restart the gateway: the code of a plug-in cannot change while it runs',
        ],
      ],
    )
    // What no longer names it can go on.
    write(named('first'))
    assert.equal((await server.reload()).kind, 'reloaded')
  } finally {
    await server.close(0)
  }
})

test('a plug-in that cannot make what is asked for stops the start, and a reload keeps the last good one', async () => {
  writeFileSync(
    join(folder, 'failing.js'),
    `export default { name: 'failing', api: 1, accountStores: [{ kind: 'failing',
      options: { '~standard': { version: 1, vendor: 'x', validate: value => ({ value }) } },
      open: () => { throw new Error('secret') } }] }\n`,
  )
  const failing = 'plugins: { failing: { module: ./failing.js } }\naccounts: { staff: { kind: failing } }\n'
  write(failing)
  await assert.rejects(startServer({ configPath, log: () => {}, clock: Date.now }), {
    code: 'plugins.failed',
    message: 'plug-in failing: opening account store staff threw',
  })
  write('')
  await running(async server => {
    write(failing)
    const result = await server.reload()
    assert(result.kind === 'refused')
    assert.match(
      result.problems[0]?.message ?? '',
      /^plugins\.failed: plug-in failing: opening account store staff threw$/,
    )
  })
})

test('an account store of a plug-in is asked when somebody logs in, and not before', async () => {
  writeFileSync(
    join(folder, 'away.js'),
    `export default { name: 'away', api: 1, accountStores: [{ kind: 'away',
      options: { '~standard': { version: 1, vendor: 'x', validate: value => ({ value }) } },
      open: () => ({ find: async user => { throw new Error(user) } }) }] }\n`,
  )
  write('plugins: { away: { module: ./away.js } }\naccounts: { staff: { kind: away } }\n')
  await running(async server => assert.equal((await server.reload()).kind, 'reloaded'))
})
