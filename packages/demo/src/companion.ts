import { type ChildProcess, spawn } from 'node:child_process'

export interface CompanionOptions {
  /** What ends it when we die. */
  readonly atOurDeath: 'INT' | 'QUIT' | 'TERM'
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly stdout?: 'ignore' | 'pipe'
  readonly uid?: number
  readonly gid?: number
}

/**
 * The shell becomes the program (`exec`), after leaving a watcher behind that waits on a pipe from us. When we die, even by
 * SIGKILL, the pipe closes and the watcher ends the program; when the program has ended, we send a line and the watcher just goes.
 */
const watched = '{ read -r line <&3 || kill -s "$0" "$$"; } & exec "$@" 3<&-'

/**
 * Starts a program that does not outlive us. Its `pid` is the program's own. It has a session of its own: Ctrl-C in the terminal
 * is for us, and we end it in order. Its stderr is a pipe that somebody has to read.
 */
export function spawnCompanion(program: string, args: readonly string[], options: CompanionOptions): ChildProcess {
  const { atOurDeath, stdout = 'ignore', ...rest } = options
  const child = spawn('/bin/sh', ['-c', watched, atOurDeath, program, ...args], {
    ...rest,
    stdio: ['ignore', stdout, 'pipe', 'pipe'],
    detached: true,
  })
  const pipe = child.stdio[3]
  if (pipe != null && 'end' in pipe) {
    pipe.on('error', () => {})
    child.once('exit', () => pipe.end('\n'))
  }
  return child
}
