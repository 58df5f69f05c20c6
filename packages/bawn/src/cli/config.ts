import { resolve } from 'node:path'
import type { Config } from '../config/load.ts'
import { type Problem, renderProblems } from '../config/problem.ts'
import { type Configuration, loadConfiguration } from '../configuration.ts'
import { GatewayError } from '../error.ts'
import type { Input } from './command.ts'

/** The configuration file is not sound; its problems are printed as they stand. */
export class InvalidConfigError extends GatewayError<'config.invalid'> {
  readonly problems: readonly Problem[]

  constructor(file: string, problems: readonly Problem[]) {
    const count = problems.length
    super('config.invalid', `${file} has ${count} ${count === 1 ? 'problem' : 'problems'}`)
    this.problems = problems
  }
}

/** The file that `--config` names, as the operator named it. */
export function configFile(input: Input): string {
  return input.text('config') ?? 'bawn.yaml'
}

/**
 * Reads the configuration and imports its plug-ins, relative to the command's working directory, with names in problems as the operator
 * wrote them.
 */
export async function readConfig(input: Input): Promise<Configuration> {
  const file = configFile(input)
  const loaded = await loadConfiguration(resolve(input.terminal.cwd, file))
  const named = (problems: readonly Problem[]): readonly Problem[] => problems.map(problem => ({ ...problem, file }))
  if (loaded.kind === 'invalid') return { ...loaded, problems: named(loaded.problems) }
  return { ...loaded, warnings: named(loaded.warnings) }
}

/** @throws {InvalidConfigError} (rejects with) after its problems were printed */
export async function needConfiguration(input: Input): Promise<Extract<Configuration, { readonly kind: 'ok' }>> {
  const loaded = await readConfig(input)
  if (loaded.kind === 'ok') return loaded
  input.terminal.err(`${renderProblems(loaded.problems)}\n`)
  throw new InvalidConfigError(configFile(input), loaded.problems)
}

/** As `needConfiguration`, for what needs none of its kinds. */
export async function needConfig(input: Input): Promise<Config> {
  return (await needConfiguration(input)).config
}
