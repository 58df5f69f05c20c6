import assert from 'node:assert/strict'
import { type ChildProcess, execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { spawnCompanion } from '@bawn/demo/companion'
import type { Postgres } from '@bawn/demo/postgres'
import { bawn } from './world.ts'

// What the tests of plug-ins stand on: the folder of an example as a user has it, and the real gateway started in it. No tests in here.

/** The folder of an example, copied; its configuration leads to parts of the test. */
export interface Example {
  readonly folder: string
  path(name: string): string
  write(name: string, text: string, mode?: number): void
  /** Changes the text of bawn.yaml; every part to be replaced must be there. */
  edit(...changes: readonly (readonly [from: string, to: string])[]): void
  /** Runs the command line in the folder, to its end. */
  run(...args: readonly string[]): Promise<{ readonly status: number; readonly out: string; readonly err: string }>
  /** Starts the gateway in the folder. */
  start(): Promise<RunningGateway>
  /** Ends what was started and removes the folder. */
  remove(): Promise<void>
}

export interface RunningGateway {
  /** `host:port` by name of the listener. */
  readonly addresses: Readonly<Record<string, string>>
  /** Everything on standard error so far. */
  log(): string
  /** Resolves as soon as the log has such a text. */
  logged(text: RegExp): Promise<void>
  signal(name: NodeJS.Signals): void
  stop(): Promise<void>
}

/** An API that says who the gateway says is asking, and which headers came along. */
export async function startApi(): Promise<Server> {
  const server = createServer((request, response) => {
    response.end(JSON.stringify({ path: request.url, headers: request.headers }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

export function portOf(server: Server): number {
  const address = server.address()
  assert(typeof address === 'object' && address !== null)
  return address.port
}

export async function copyExample(
  name: string,
  parts: { readonly api: Server; readonly postgres?: Postgres },
): Promise<Example> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-plugin-'))
  cpSync(join(import.meta.dirname, '../examples/plugins', name), folder, { recursive: true })
  const path = (file: string): string => join(folder, file)
  const environment = {
    ...process.env,
    ACRA_MASTER_KEY: randomBytes(32).toString('base64'),
    SHOP_PASSWORD: parts.postgres?.password ?? 'none',
  }
  const running: RunningGateway[] = []
  const example: Example = {
    folder,
    path,
    write: (file, text, mode = 0o600) => writeFileSync(path(file), text, { mode }),
    edit(...changes) {
      let text = readFileSync(path('bawn.yaml'), 'utf8')
      for (const [from, to] of changes) {
        assert(text.includes(from), `bawn.yaml of ${name} has no ${from}`)
        text = text.replace(from, to)
      }
      writeFileSync(path('bawn.yaml'), text)
    },
    async run(...args) {
      const [program, ...first] = bawn
      const options = { cwd: folder, env: environment }
      const done = promisify(execFile)(program, [...first, ...args], options)
      const { stdout, stderr } = await done.catch((error: unknown) => {
        assert(error instanceof Error && 'stdout' in error && 'stderr' in error)
        return { stdout: String(error.stdout), stderr: String(error.stderr) }
      })
      return { status: done.child.exitCode ?? -1, out: stdout, err: stderr }
    },
    async start() {
      const [program, ...first] = bawn
      const options = { atOurDeath: 'TERM', cwd: folder, env: environment, stdout: 'pipe' } as const
      const gateway = new Gateway(spawnCompanion(program, [...first, 'start'], options))
      running.push(gateway)
      const listeners = readFileSync(path('bawn.yaml'), 'utf8').match(/^ {2}\w+: \{ door: /gm)?.length
      await gateway.listening(listeners ?? 0)
      return gateway
    },
    async remove() {
      for (const gateway of running) await gateway.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  example.edit(['127.0.0.1:8080', '127.0.0.1:0'], ['http://127.0.0.1:3000', `http://127.0.0.1:${portOf(parts.api)}`])
  if (parts.postgres !== undefined) {
    const { port, user, database } = parts.postgres
    example.edit(
      ['127.0.0.1:9393', '127.0.0.1:0'],
      ['port: 5432', `port: ${port}, database: ${database}`.replace(', ', '\n    ')],
      ['user: gateway', `user: ${user}`],
    )
  }
  const { status, err } = await example.run('keys', 'generate', '--audit')
  assert.equal(status, 0, err)
  return example
}

class Gateway implements RunningGateway {
  readonly addresses: Record<string, string> = {}
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #out = ''
  #err = ''
  #changed = Promise.withResolvers<void>()

  constructor(child: ChildProcess) {
    this.#child = child
    this.#ended = once(child, 'close').then(() => this.#wake())
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text
      this.#wake()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#err += text
      this.#wake()
    })
  }

  #wake(): void {
    const { resolve } = this.#changed
    this.#changed = Promise.withResolvers()
    resolve()
  }

  /** Waits for output until `isThere`. */
  async #until(isThere: () => boolean, what: string): Promise<void> {
    while (!isThere()) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`the gateway ended before ${what}:\n${this.#out}${this.#err}`)
      }
      await this.#changed.promise
    }
  }

  async listening(listeners: number): Promise<void> {
    const lines = () => [...this.#out.matchAll(/^listening: (\S+) \(\w+\) on (\S+)\n/gm)]
    await this.#until(() => lines().length === listeners, 'it listened')
    for (const [, name = '', address = ''] of lines()) this.addresses[name] = address
  }

  log(): string {
    return this.#err
  }

  logged(text: RegExp): Promise<void> {
    return this.#until(() => text.test(this.#err), `it logged ${text}`)
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  async stop(): Promise<void> {
    this.signal('SIGTERM')
    this.signal('SIGTERM')
    await this.#ended
  }
}
