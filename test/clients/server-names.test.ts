import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Kit, password, startKit } from '../postgres-kit.ts'
import { doorTlsOfTwo, type NamesKit, startNamesKit } from '../server-names-kit.ts'

// Which certificate curl, psql and openssl are shown, each by the name that it asks for.

let names: NamesKit
let kit: Kit
before(async () => {
  for (const [program, argument, debian] of [
    ['psql', '--version', 'postgresql-client'],
    ['curl', '--version', 'curl'],
    ['openssl', 'version', 'openssl'],
  ] as const) {
    const { status } = spawnSync(program, [argument], { stdio: 'ignore' })
    assert.equal(status, 0, `${program} is not installed; on Debian: apt-get install ${debian}`)
  }
  names = await startNamesKit()
  writeFileSync(join(names.folder, 'ca.crt'), names.authority.certificate)
  kit = await startKit('create table people (id int primary key, name text, email bytea, photo bytea)')
  writeFileSync(join(names.folder, 'kit.crt'), kit.authority.certificate)
})
after(async () => {
  await names?.stop()
  await kit?.stop()
})

/** What a program says, and its exit status. */
async function run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const running = promisify(execFile)(program, args, { env: { ...process.env, ...env }, timeout: 20_000 })
  running.child.stdin?.end()
  try {
    const { stdout, stderr } = await running
    return { status: 0, output: stdout + stderr }
  } catch (error) {
    if (error instanceof Error && 'stdout' in error && 'stderr' in error && 'code' in error) {
      return { status: Number(error.code), output: `${error.stdout}${error.stderr}` }
    }
    throw error
  }
}

test('curl --resolve verifies every name', async () => {
  for (const listener of ['web', 'node']) {
    const port = names.port(listener)
    const ask = (name: string) =>
      run('curl', [
        ...['-sS', '-o', '/dev/null', '-w', '%{http_code}', '--noproxy', '*', '--cacert', join(names.folder, 'ca.crt')],
        ...['--resolve', `${name}:${port}:127.0.0.1`, `https://${name}:${port}/`],
      ])
    for (const name of ['main.example', 'shop.example', 'a.wild.example'])
      assert.deepEqual(await ask(name), { status: 0, output: '404' }, name)
    // 60: the certificate is not for that name.
    for (const name of ['other.example', 'a.b.wild.example']) assert.equal((await ask(name)).status, 60, name)
  }
})

test('psql verifies every name, and binds SCRAM to what it was shown', async () => {
  const door = await kit.listen({ tls: doorTlsOfTwo(kit.authority) })
  const ask = (host: string, more: string) =>
    run(
      'psql',
      [
        '-XAtc',
        'select 1',
        `host=${host} hostaddr=127.0.0.1 port=${door.address.port} user=billy dbname=shop sslmode=verify-full channel_binding=require ${more}`,
      ],
      { PGPASSWORD: password, PGSSLROOTCERT: join(names.folder, 'kit.crt') },
    )
  for (const host of ['localhost', 'shop.example']) {
    assert.deepEqual(await ask(host, ''), { status: 0, output: '1\n' })
  }
  const other = await ask('other.example', '')
  assert.equal(other.status, 2)
  assert.match(other.output, /does not match host name "other.example"/)
  // Without a name it is shown the listener's own.
  assert.match((await ask('shop.example', 'sslsni=0')).output, /"localhost".* does not match host name "shop.example"/)
  assert.deepEqual(await ask('localhost', 'sslsni=0'), { status: 0, output: '1\n' })
})

test('openssl: by each name in TLS 1.2 and 1.3, and a session of one name is of no use for another', async () => {
  // What a reload leaves of a listener is what it was made with.
  assert.equal((await names.server.reload()).kind, 'reloaded')
  const session = join(names.folder, 'session.pem')
  const ask = (listener: string, more: readonly string[]) =>
    run('openssl', [
      ...['s_client', '-connect', `127.0.0.1:${names.port(listener)}`, '-CAfile', join(names.folder, 'ca.crt')],
      ...(/postgres|sql/.test(listener) ? ['-starttls', 'postgres'] : []),
      ...more,
    ])
  for (const version of ['-tls1_2', '-tls1_3']) {
    for (const listener of ['web', 'node', 'sql']) {
      for (const [name, cn] of [
        ['shop.example', 'shop'],
        ['x.wild.example', 'wild'],
        ['main.example', 'main'],
      ]) {
        const { output } = await ask(listener, ['-servername', `${name}`, version])
        assert.match(output, new RegExp(`subject=CN ?= ?first ${cn}\n`), `${listener} ${version} ${name}`)
        assert.match(output, /Verify return code: 0 \(ok\)/)
      }
    }
    for (const listener of ['web', 'node', 'sql']) {
      await ask(listener, ['-servername', 'shop.example', version, '-sess_out', session])
      const resumed = await ask(listener, ['-servername', 'x.wild.example', version, '-sess_in', session])
      assert.match(resumed.output, /subject=CN ?= ?first wild\n/, `${listener} ${version}`)
      assert.match(resumed.output, /^New, TLS/m, `${listener} ${version}`)
    }
  }
  const strict = await ask('strict-postgres', ['-servername', 'other.example'])
  assert.notEqual(strict.status, 0)
  assert.match(strict.output, /no peer certificate available/)
})
