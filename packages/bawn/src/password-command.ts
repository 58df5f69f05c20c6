import { spawn } from 'node:child_process'
import { GatewayError } from './error.ts'
import type { PasswordCommandOptions } from './option.ts'

/** A password that a program prints: a token of a cloud that lives for minutes, or what a vault gives out. */
export interface FetchedPassword {
  /** Whoever asks while the program runs gets what that prints. @throws {GatewayError} (rejects with) `postgres.password_command` */
  get(): Promise<string>
  /** The server has refused this one: it is not given out again, unless it is new. @returns whether another one may be better */
  refuse(password: string): boolean
}

/** As for a secret in a file, in bytes. */
const maxOutputBytes = 65_536
/** Of what a failed program says, for the log; in characters. */
const maxComplaint = 1_000
/** What is younger than that, and refused, is not asked for again: a program that prints a wrong one would run at every login. */
const newMs = 1_000

/**
 * @param of whose password it is, for errors
 * @param now in ms, never going back
 */
export function fetchPassword(of: string, options: PasswordCommandOptions, now: () => number): FetchedPassword {
  let kept: { readonly password: string; readonly since: number } | undefined
  let running: Promise<string> | undefined
  return {
    async get() {
      if (kept !== undefined && now() - kept.since < options.cache_time) return kept.password
      running ??= run(of, options)
        .then(password => {
          kept = { password, since: now() }
          return password
        })
        .finally(() => {
          running = undefined
        })
      return await running
    },
    refuse(password) {
      if (kept === undefined || kept.password !== password) return true
      if (now() - kept.since < newMs) return false
      kept = undefined
      return true
    },
  }
}

/** Without a shell: arguments are what they are. What it prints is the password, without the line feed at its end. */
function run(of: string, { run: [program = '', ...args], timeout }: PasswordCommandOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      const message = `${of}: the command for its password ${why}`
      reject(new GatewayError('postgres.password_command', message, { cause: complaint === '' ? cause : said() }))
    }
    // The log leaves out what others' errors say; this is asked for, and only the log has it.
    const said = () => new GatewayError('postgres.password_command', `it said: ${printable(complaint)}`)
    let complaint = ''
    const output: Buffer[] = []
    let size = 0
    // A group of its own, so that what it has started ends with it.
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const stop = (why: string): void => {
      fail(why)
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It has ended meanwhile.
      }
    }
    const timer = setTimeout(() => stop(`took longer than ${timeout} ms`), timeout)
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxOutputBytes) output.push(chunk)
      else stop(`printed more than ${maxOutputBytes} bytes`)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(0, maxComplaint)
    })
    child.once('error', cause => {
      clearTimeout(timer)
      const code = 'code' in cause ? ` (${String(cause.code)})` : ''
      fail(`cannot be started${code}`, cause)
    })
    child.once('close', (status, signal) => {
      clearTimeout(timer)
      const password = Buffer.concat(output)
        .toString('utf8')
        .replace(/\r?\n$/, '')
      for (const chunk of output) chunk.fill(0)
      if (status !== 0) fail(signal === null ? `ended with status ${status}` : `was ended by ${signal}`)
      else if (password === '') fail('printed nothing')
      else if (password.includes('\0')) fail('printed a NUL')
      else resolve(password)
    })
  })
}

/** Somebody else's words: on one line, and nothing in them that a terminal obeys. */
function printable(text: string): string {
  return text.trim().replace(/[^\p{L}\p{N}\p{P}\p{S} ]+/gu, ' ')
}
