import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cache, collect } from './programs.ts'
import type { Target, Way } from './ways.ts'

// What a suite is, and what several of them use.

export type Outcome = 'passed' | 'failed' | 'skipped'

export interface Suite {
  readonly name: string
  readonly version: string
  /** What of it runs, for the table. */
  readonly part: string
  readonly database: string
  /** SQL that the suite wants to find done. */
  readonly setup: string
  /** Fetches what is needed; nothing where it is there. */
  prepare(): Promise<void>
  /** Outcome of each test; what a comparison goes by. */
  run(target: Target): Promise<Map<string, string>>
  /** Where it takes long, not on all ways: what differs without a protected column differs with one too. */
  readonly ways?: readonly Way[]
  /** Tests that differ, and why: by design, or because they measure time. A test may have several reasons. */
  readonly differences: readonly (readonly [test: RegExp, reason: string])[]
}

/** Tests and outcomes of a JUnit file, as pytest and Surefire write it. */
export function junit(file: string): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>()
  const cases = /<testcase\b([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs
  for (const [, attributes = '', inside = ''] of readFileSync(file, 'utf8').matchAll(cases)) {
    const name = /\bname="([^"]*)"/.exec(attributes)?.[1]
    const owner = /\bclassname="([^"]*)"/.exec(attributes)?.[1]
    const outcome = /<(?:failure|error)\b/.test(inside) ? 'failed' : /<skipped\b/.test(inside) ? 'skipped' : 'passed'
    outcomes.set(`${owner}.${name}`, outcome)
  }
  return outcomes
}

/** Runs pytest in a folder. @returns the outcome of each test, by class and name */
export async function pytest(
  python: string,
  args: readonly string[],
  { cwd, env = {}, minutes }: { cwd: string; env?: NodeJS.ProcessEnv; minutes: number },
): Promise<Map<string, Outcome>> {
  const file = join(cache, `junit-${process.pid}.xml`)
  rmSync(file, { force: true })
  const common = ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', `--junitxml=${file}`]
  const said = await collect(python, [...common, ...args], { cwd, env, minutes })
  try {
    return junit(file)
  } catch (cause) {
    throw new Error(`pytest wrote no results: ${said.slice(-1_500)}`, { cause })
  }
}
