import { type ChildProcess, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawnCompanion } from '@bawn/demo/companion'
import { bawn } from '../world.ts'

/** What can be killed, and comes back at the same place. */
export interface Part {
  /** `SIGKILL`. */
  kill(): Promise<void>
  start(): Promise<void>
  /** Sends it SIGHUP, and waits until it has said this. */
  hangUp(said: RegExp): Promise<void>
  /** Ends it in order. */
  stop(): Promise<void>
  log(): string
  /** Memory that it holds, in MB. */
  memory(): number
}

/** Starts a program, and has it say that it is ready. @param cwd its folder */
export async function startPart(
  command: readonly [string, ...string[]],
  cwd: string,
  ready: readonly RegExp[],
): Promise<Part> {
  const [program, ...args] = command
  let child: ChildProcess | undefined
  let log = ''
  let wake = (): void => {}
  const until = async (fits: () => boolean): Promise<void> => {
    while (!fits()) {
      if (isOver()) throw new Error(`${args.join(' ')} ended:\n${log.slice(-4_000)}`)
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
  }
  const isOver = (): boolean => child === undefined || child.exitCode !== null || child.signalCode !== null
  const start = async (): Promise<void> => {
    const from = log.length
    const one = spawnCompanion(program, args, { atOurDeath: 'TERM', cwd, env: process.env, stdout: 'pipe' })
    child = one
    const read = (text: string): void => {
      log += text
      wake()
    }
    one.stdout?.setEncoding('utf8').on('data', read)
    one.stderr?.setEncoding('utf8').on('data', read)
    one.once('close', () => wake())
    await until(() => ready.every(each => each.test(log.slice(from))))
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child === undefined || isOver()) return
    const ended = once(child, 'close')
    child.kill(signal)
    await ended
  }
  await start()
  return {
    start,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    async hangUp(said) {
      const from = log.length
      child?.kill('SIGHUP')
      await until(() => said.test(log.slice(from)))
    },
    log: () => log,
    memory() {
      const status = readFileSync(`/proc/${child?.pid}/status`, 'utf8')
      return Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_024)
    },
  }
}

/** `bawn audit verify`. @returns what it says, and whether the chain is whole */
export function verifyTrail(configuration: string): { readonly intact: boolean; readonly said: string } {
  const [program, ...first] = bawn
  const { status, stdout, stderr } = spawnSync(program, [...first, 'audit', 'verify', '--config', configuration], {
    encoding: 'utf8',
  })
  return { intact: status === 0, said: `${stdout}${stderr}`.trim() }
}

/** One of the programs of this folder, in a process of its own. */
export function startOwnPart(cwd: string, ...args: readonly string[]): Promise<Part> {
  return startPart([process.execPath, join(import.meta.dirname, 'part.ts'), ...args], cwd, [/ready/])
}
