import { openSync, readFileSync, writeSync } from 'node:fs'
import { CliError } from '../error.ts'

/** The gateway as a process of its own, so that it can be killed and started again. */
export interface GatewayProcess {
  readonly pid: number
  /** Resolves to how it ended: a signal's name or an exit status. */
  readonly ended: Promise<string>
  stop(): Promise<void>
}

export interface GatewayOptions {
  /** The program and its leading arguments: Node and `bin/bawn.js`. */
  readonly command: readonly [string, ...string[]]
  readonly config: string
  readonly logFile: string
  /** `http://127.0.0.1:9191/readyz` */
  readonly readyUrl: string
}

/** Starts `bawn start` and waits until it says that it is ready. @throws {CliError} `cli.failed` when it ends before that, with the end of its log */
export async function startGateway(options: GatewayOptions): Promise<GatewayProcess> {
  const { spawnCompanion } = await import('@bawn/demo/companion')
  const log = openSync(options.logFile, 'a', 0o600)
  const [program, ...first] = options.command
  const child = spawnCompanion(program, [...first, 'start', '--config', options.config, '--drain', '3s'], {
    atOurDeath: 'TERM',
    cwd: process.cwd(),
    env: process.env,
    stdout: 'pipe',
  })
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes: Buffer) => writeSync(log, bytes))
  const ended = new Promise<string>(resolve => {
    child.once('error', error => resolve(error.message))
    child.once('exit', (status, signal) => resolve(signal ?? `exit status ${status}`))
  })
  let end: string | undefined
  void ended.then(how => {
    end = how
  })
  const deadline = Date.now() + 30_000
  while (!(await isReady(options.readyUrl))) {
    if (end !== undefined || Date.now() > deadline) {
      child.kill('SIGKILL')
      const lines = readFileSync(options.logFile, 'utf8').trimEnd().split('\n').slice(-15)
      throw new CliError('cli.failed', `the gateway did not start (${end ?? 'not ready after 30 s'})`, {
        suggestion: `Its log ends with:\n${lines.join('\n')}`,
      })
    }
    await new Promise(resume => setTimeout(resume, 50))
  }
  return {
    pid: child.pid ?? 0,
    ended,
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok
  } catch {
    return false
  }
}
