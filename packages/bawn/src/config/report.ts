import { suggest } from '../nearest.ts'
import type { ConfigPath, Problem } from './problem.ts'

/** Where a check puts what it finds; `load.ts` adds file, line and column. */
export type Report = (
  level: Problem['level'],
  path: ConfigPath,
  at: 'key' | 'value',
  message: string,
  suggestion?: string,
  /** Only this piece of the text that stands there. */
  within?: Piece,
) => void

/** A piece of a text: offsets in UTF-16 units. */
export interface Piece {
  readonly start: number
  readonly end: number
}

/** Reports names in a list that nothing is called by. */
export function checkNames(
  report: Report,
  path: ConfigPath,
  names: readonly string[],
  known: readonly string[],
  what: string,
): void {
  for (const [index, name] of names.entries()) {
    if (known.includes(name)) continue
    report('error', [...path, index], 'value', `no ${what} is called "${name}"`, suggest(name, known))
  }
}
