import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import type { AccountGateways, Node } from './account-gateway.ts'

// curl and psql at running gateways. No tests in here.

const run = promisify(execFile)

/** Fails with what to install. */
export function requirePrograms(): void {
  for (const [program, debian] of [
    ['curl', 'curl'],
    ['psql', 'postgresql-client'],
  ] as const) {
    const { status } = spawnSync(program, ['--version'], { stdio: 'ignore' })
    assert.equal(status, 0, `${program} is not installed; on Debian: apt-get install ${debian}`)
  }
}

/** What curl got: status and body. */
async function curl(node: Node, user: string, password: string): Promise<string> {
  const flags = ['--silent', '--show-error', '--noproxy', '*', '--max-time', '20', '--cacert', node.ca]
  const { stdout } = await run('curl', [
    ...flags,
    '--write-out',
    ' %{http_code}',
    '--output',
    '-',
    '--user',
    `${user}:${password}`,
    node.url,
  ])
  return stdout
}

/** What psql printed, or what it said. */
async function psql(node: Node, user: string, password: string, by: string): Promise<string> {
  const env = {
    PATH: process.env['PATH'],
    PGHOST: 'localhost',
    PGPORT: String(node.port),
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: 'shop',
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: node.ca,
    PGOPTIONS: `-c bawn.login=${by}`,
  }
  try {
    return (await run('psql', ['-XAtqw', '-c', 'select 42'], { env })).stdout
  } catch (error) {
    return error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error)
  }
}

/** Adds a user and logs in, with the right and with a wrong password. @param by how psql does it */
export async function logInWithPrograms(gateways: AccountGateways, by: readonly string[]): Promise<void> {
  const [node] = gateways.nodes
  assert(node !== undefined)
  await gateways.run(['accounts', 'add', 'alice', '--role', 'staff'], 'correct horse\n')
  assert.equal(await curl(node, 'alice', 'correct horse'), 'alice 200')
  assert.match(await curl(node, 'alice', 'wrong'), /"code":"authn\.failed".* 401$/s)
  for (const mechanism of by) {
    assert.equal(await psql(node, 'alice', 'correct horse', mechanism), '42\n')
    assert.match(await psql(node, 'alice', 'wrong', mechanism), /password authentication failed for user "alice"/)
  }
}
