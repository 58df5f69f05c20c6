import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A real Redis on a port of its own, with what it keeps in a folder. */
export interface RedisServer {
  readonly port: number
  /** `SIGKILL`. */
  kill(): Promise<void>
  start(): Promise<void>
  /** As `redis-cli` has it. */
  command(...args: readonly string[]): string
  remove(): Promise<void>
}

/** @param password every client needs it */
export async function startRedis(password: string): Promise<RedisServer> {
  const { status } = spawnSync('redis-server', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'redis-server is not installed; on Debian: apt-get install redis-server')
  const folder = mkdtempSync(join(tmpdir(), 'bawn-redis-'))
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  assert(address !== null && typeof address === 'object')
  const { port } = address
  let server: ChildProcess | undefined
  const start = async (): Promise<void> => {
    const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--requirepass', password]
    server = spawn('redis-server', [...settings, '--appendonly', 'yes', '--appendfsync', 'always'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    for await (const piece of server.stdout?.iterator({ destroyOnReturn: false }) ?? []) {
      said += String(piece)
      if (said.includes('Ready to accept connections')) break
    }
    assert.match(said, /Ready to accept connections/)
    server.stdout?.resume()
  }
  const kill = async (): Promise<void> => {
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
  }
  await start()
  return {
    port,
    kill,
    start,
    command(...args) {
      const env = { ...process.env, REDISCLI_AUTH: password }
      const { stdout, status: ended } = spawnSync('redis-cli', ['-p', String(port), ...args], { encoding: 'utf8', env })
      assert.equal(ended, 0)
      return stdout
    },
    async remove() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
