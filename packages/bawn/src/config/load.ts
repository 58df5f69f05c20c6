import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { GatewayError } from '../error.ts'
import type { Frozen } from '../option.ts'
import { checkDraft } from './check.ts'
import { draftOf } from './draft.ts'
import { explainIssues } from './issue.ts'
import { absolutePaths } from './path.ts'
import { type Problem, sortProblems } from './problem.ts'
import type { Report } from './report.ts'
import { type ConfigOptions, configOptions } from './schema.ts'
import { findUnsafe } from './unsafe.ts'
import { parseYaml, type Source } from './yaml.ts'

/** The configuration cannot be served; its problems were told one by one. */
export class ConfigError extends GatewayError<'config.invalid'> {}

/** One configuration file, fully checked and frozen at every level; paths and `file:` references are absolute. */
export type Config = ConfigOptions

export type LoadedConfig =
  | {
      readonly kind: 'ok'
      readonly config: Config
      /** Permitted and unsafe, or without effect; in order of the file. */
      readonly warnings: readonly Problem[]
      /** Where each value stands, for problems that show only later (a file that is missing). */
      readonly source: Source
    }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] }

function deepFreeze<T>(value: T): Frozen<T> {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value as Frozen<T>
}

/**
 * Reads the text of a configuration file. Never throws: whatever is wrong comes back as problems, each with its place, all at once.
 *
 * @param file its name, for problems; relative paths in it are relative to its folder
 * @param bytes what it holds: UTF-8, at most `maxConfigBytes`
 */
export function parseConfig(file: string, bytes: Uint8Array): LoadedConfig {
  const parsed = parseYaml(file, bytes)
  if (parsed.kind === 'invalid') return { kind: 'invalid', problems: sortProblems(parsed.problems) }
  const { source } = parsed
  if (source.value === null) {
    const problem = source.problem('error', source.locate([], 'value'), [], 'the file is empty', 'bawn help config')
    return { kind: 'invalid', problems: [problem] }
  }
  const found: Problem[] = []
  const report: Report = (level, path, at, message, suggestion) => {
    found.push(source.problem(level, source.locate(path, at), path, message, suggestion))
  }
  const result = configOptions.safeParse(source.value)
  for (const { path, at, message, suggestion } of explainIssues(result.error?.issues ?? [], source.value)) {
    report('error', path, at, message, suggestion)
  }
  const draft = draftOf(source.value)
  checkDraft(draft, report)
  findUnsafe(draft, report)
  const sorted = sortProblems(found)
  const errors = sorted.filter(problem => problem.level === 'error')
  if (!result.success || errors.length > 0) return { kind: 'invalid', problems: errors }
  return { kind: 'ok', config: deepFreeze(absolutePaths(result.data, resolve(file))), warnings: sorted, source }
}

/**
 * Reads a configuration file from disk, once. Never throws.
 *
 * @param file path, absolute or relative to the working directory
 */
export function loadConfig(file: string): LoadedConfig {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? 'this is a folder'
          : `it cannot be read (${code})`
    const base = { level: 'error', file, line: 1, column: 1, length: 1, path: '', excerpt: '' } as const
    return {
      kind: 'invalid',
      problems: [{ ...base, message: why, suggestion: 'name another one with --config' }],
    }
  }
  return parseConfig(file, bytes)
}
