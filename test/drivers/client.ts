import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** A program with one client in it, as its own process. */
export interface ClientProgram {
  readonly version: string
  /** @throws when it takes longer than any client's own patience, or the program ends */
  run(login: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>>
  stop(): Promise<void>
}

const patienceMs = 25_000

/** Starts it, and waits until it has said what it is. */
export async function startClient(command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<ClientProgram> {
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'], HOME: '/nowhere', LANG: 'C.UTF-8', PYTHONDONTWRITEBYTECODE: '1', ...env },
    stdio: 'pipe',
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4_096)
  })
  child.stdin.on('error', () => {})
  const ended = once(child, 'close')
  ended.catch(() => {})
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (what: string): Promise<Readonly<Record<string, string>>> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${program} hangs: ${what}\n${said}`)), patienceMs)
    })
    try {
      const { value, done } = await Promise.race([lines.next(), late])
      assert(!done, `${program} ended: ${what}\n${said}`)
      return Object.fromEntries(new URLSearchParams(value))
    } finally {
      clearTimeout(timer)
    }
  }
  const { version = '' } = await next('start')
  return {
    version,
    run(login) {
      child.stdin.write(`${new URLSearchParams(login)}\n`)
      return next(`${login['user']} at ${login['database'] ?? login['url']}`)
    },
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
