import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import { GatewayError } from '../error.ts'
import type { Frozen } from '../option.ts'
import type { PluginOptions } from '../plugins/option.ts'
import { checkDraft } from './check.ts'
import { draftOf } from './draft.ts'
import { explainIssues } from './issue.ts'
import { configJsonSchema } from './json-schema.ts'
import { noPluginKinds, type PluginKinds } from './kinds.ts'
import { absolutePaths } from './path.ts'
import { type Problem, sortProblems } from './problem.ts'
import type { Report } from './report.ts'
import { type ConfigOptions, configSchema, plainSchema } from './schema.ts'
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

/** A file that is YAML, or why it is not. */
export type ReadSource =
  | { readonly kind: 'ok'; readonly source: Source }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] }

type Invalid = Extract<ReadSource, { readonly kind: 'invalid' }>

function reporter(source: Source, found: Problem[]): Report {
  return (level, path, at, message, suggestion, within) => {
    const span = within === undefined ? source.locate(path, at) : source.locateWithin(path, within)
    found.push(source.problem(level, span, path, message, suggestion))
  }
}

/** Reads the text of a configuration file. Never throws. @param bytes UTF-8, at most `maxConfigBytes` */
export function parseSource(file: string, bytes: Uint8Array): ReadSource {
  const parsed = parseYaml(file, bytes)
  if (parsed.kind === 'invalid') return { kind: 'invalid', problems: sortProblems(parsed.problems) }
  const { source } = parsed
  if (source.value !== null) return parsed
  const problem = source.problem('error', source.locate([], 'value'), [], 'the file is empty', 'bawn help config')
  return { kind: 'invalid', problems: [problem] }
}

/**
 * Reads a configuration file from disk, once. Never throws.
 *
 * @param file path, absolute or relative to the working directory
 */
export function readSource(file: string): ReadSource {
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
  return parseSource(file, bytes)
}

const pluginsSection = z.object({ plugins: plainSchema.options.shape.plugins })

/** The plug-ins that a file names: they come first, for what the rest of it may say depends on them. */
export function namedPlugins(
  source: Source,
): { readonly kind: 'ok'; readonly plugins: ReadonlyMap<string, PluginOptions> } | Invalid {
  // A file that is no set of keys has no plug-ins, and is told so later.
  const isObject = typeof source.value === 'object' && !Array.isArray(source.value)
  const result = pluginsSection.safeParse(isObject ? source.value : {})
  if (result.success) return { kind: 'ok', plugins: new Map(Object.entries(result.data.plugins)) }
  const found: Problem[] = []
  const report = reporter(source, found)
  for (const { path, at, message, suggestion } of explainIssues(
    result.error.issues,
    source.value,
    configJsonSchema(),
  )) {
    report('error', path, at, message, suggestion)
  }
  return { kind: 'invalid', problems: sortProblems(found) }
}

/**
 * Checks a whole file. Never throws: whatever is wrong comes back as problems, each with its place, all at once. Relative paths are
 * relative to the folder of the file.
 *
 * @param kinds what plug-ins have brought
 */
export function checkSource(source: Source, kinds: PluginKinds): LoadedConfig {
  const schema = kinds === noPluginKinds ? plainSchema : configSchema(kinds)
  const found: Problem[] = []
  const report = reporter(source, found)
  const result = schema.options.safeParse(source.value)
  const issues = result.error?.issues ?? []
  if (issues.length > 0) {
    for (const { path, at, message, suggestion } of explainIssues(issues, source.value, configJsonSchema(schema))) {
      report('error', path, at, message, suggestion)
    }
  }
  const draft = draftOf(source.value, schema, kinds)
  checkDraft(draft, report)
  findUnsafe(draft, report)
  const sorted = sortProblems(found)
  const errors = sorted.filter(problem => problem.level === 'error')
  if (!result.success || errors.length > 0) return { kind: 'invalid', problems: errors }
  return { kind: 'ok', config: deepFreeze(absolutePaths(result.data, resolve(source.file))), warnings: sorted, source }
}

/**
 * Reads and checks the text of a configuration file. Never throws.
 *
 * @param file its name, for problems; relative paths in it are relative to its folder
 * @param bytes what it holds: UTF-8, at most `maxConfigBytes`
 * @param kinds what plug-ins have brought; without it, the file may name none of their kinds
 */
export function parseConfig(file: string, bytes: Uint8Array, kinds: PluginKinds = noPluginKinds): LoadedConfig {
  const read = parseSource(file, bytes)
  return read.kind === 'ok' ? checkSource(read.source, kinds) : read
}
