import type { StoreParts } from '../compose-accounts.ts'
import { type Kinds, kindSurroundings } from '../kinds.ts'
import type { Input } from './command.ts'

/** What a command opens stores and token managers with: their log is standard error. */
export function partsFor({ terminal }: Input, kinds: Kinds): StoreParts {
  const log = (_level: string, message: string): void => terminal.err(`${message}\n`)
  return { kinds, surroundings: kindSurroundings(terminal.env, { clock: terminal.now, log }), create: true }
}
