import { dirname, resolve } from 'node:path'
import { checkSource, type LoadedConfig, namedPlugins, type ReadSource, readSource } from './config/load.ts'
import type { Problem } from './config/problem.ts'
import type { Source } from './config/yaml.ts'
import { type Kinds, kindsWith } from './kinds.ts'
import { PluginError } from './plugins/error.ts'
import { type LoadedPlugin, loadPlugin } from './plugins/load.ts'
import type { LogEntry } from './postgres/state.ts'

/** A configuration with the plug-ins that it names, imported. */
export type Configuration =
  | (Extract<LoadedConfig, { readonly kind: 'ok' }> & {
      readonly kinds: Kinds
      readonly plugins: readonly LoadedPlugin[]
    })
  | Extract<LoadedConfig, { readonly kind: 'invalid' }>

/**
 * Reads a configuration file from disk, once, with its plug-ins: they are imported first, for the rest of the file may name what they bring.
 * Does not reject: whatever is wrong comes back as problems, each with its place. While a plug-in cannot be had, only that is told.
 *
 * @param file path, absolute or relative to the working directory
 * @param read what it holds, where that was read already
 */
export async function loadConfiguration(file: string, read: ReadSource = readSource(file)): Promise<Configuration> {
  if (read.kind === 'invalid') return read
  const { source } = read
  const named = namedPlugins(source)
  if (named.kind === 'invalid') return named
  const problems: Problem[] = []
  const plugins: LoadedPlugin[] = []
  let kinds: Kinds = kindsWith([])
  for (const [name, options] of named.plugins) {
    try {
      const loaded = await loadPlugin(name, options, dirname(resolve(file)))
      kinds = kindsWith([...plugins, loaded])
      plugins.push(loaded)
      for (const warning of loaded.warnings) problems.push(problemOf(source, name, 'warning', warning, undefined))
    } catch (error) {
      if (!(error instanceof PluginError)) throw error
      problems.push(problemOf(source, name, 'error', `${error.code}: ${error.message}`, error.spec.hint))
    }
  }
  if (problems.some(({ level }) => level === 'error')) return { kind: 'invalid', problems }
  const loaded = checkSource(source, kinds.plugged)
  return loaded.kind === 'ok' ? { ...loaded, warnings: [...problems, ...loaded.warnings], kinds, plugins } : loaded
}

function problemOf(
  source: Source,
  name: string,
  level: Problem['level'],
  message: string,
  suggestion: string | undefined,
): Problem {
  const path = ['plugins', name, message.startsWith('plugins.bad_integrity') ? 'integrity' : 'module']
  return source.problem(level, source.locate(path, 'value'), path, message, suggestion)
}

/** Whose code runs here is said aloud, before it does. @param known what was said of already */
export function tellPlugins(
  plugins: readonly LoadedPlugin[],
  known: readonly LoadedPlugin[],
  log: (entry: LogEntry) => void,
): void {
  for (const { name, path, integrity } of plugins) {
    if (known.some(other => other.name === name && other.path === path && other.integrity === integrity)) continue
    const message = `plug-in ${name} runs with the rights of the gateway: ${path} ${integrity}`
    log({ level: 'warn', message, requestId: '-' })
  }
}
