import { hash } from 'node:crypto'
import { readFileSync, type Stats, statSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Plugin } from '../plugin.ts'
import { printable } from './border.ts'
import { PluginError } from './error.ts'
import type { PluginOptions } from './option.ts'
import { parsePlugin } from './parse.ts'

/** A plug-in of the configuration, imported and read. */
export interface LoadedPlugin {
  /** In the configuration. */
  readonly name: string
  readonly plugin: Plugin
  /** The file that `module` leads to, links followed. */
  readonly path: string
  /** `sha256-…` of that file, as it is run. */
  readonly integrity: string
  readonly timeoutMs: number
  /** Of the configuration file. */
  readonly folder: string
  /** Something unsafe about where it lies. */
  readonly warnings: readonly string[]
}

/**
 * The digest of each module as it was run. Node keeps what it has imported, whatever becomes of the file: so what a reload finds changed is
 * not what runs.
 */
const imported = new Map<string, string>()
/** Those that were imported under a digest, alone. */
const pinned = new Set<string>()
/** Module names that nobody imported before: Node remembers what it found for a name. */
let asked = 0

/**
 * Imports a plug-in. A path is looked up in the folder of the configuration, a package where Node looks for packages from there: nowhere
 * else, and nothing is fetched.
 *
 * @param name of the plug-in in the configuration
 * @param folder absolute
 * @throws {PluginError} (rejects with) `plugins.not_found`, `plugins.bad_module`, `plugins.wrong_api`, `plugins.bad_integrity`, `plugins.changed`
 */
export async function loadPlugin(name: string, options: PluginOptions, folder: string): Promise<LoadedPlugin> {
  const { module, integrity: wanted } = options
  const url = locate(module, folder)
  const path = fileURLToPath(url)
  const { stats, digest } = look(module, path)
  const known = imported.get(url)
  if (known !== undefined && known !== digest) {
    throw new PluginError(
      'plugins.changed',
      `${path} has changed since it was loaded (${known} runs, ${digest} is there)`,
    )
  }
  if (wanted !== undefined && digest !== wanted) throw otherDigest(path, digest, wanted)
  if (wanted !== undefined && known !== undefined && !pinned.has(url)) {
    // By another plug-in, or before integrity was written: what it has loaded besides, nobody has looked at.
    throw new PluginError('plugins.changed', `${path} was loaded before it was pinned`)
  }
  const value = await importOnce(url, path, options)
  const reading = parsePlugin(value)
  if (reading.kind === 'wrong-api') throw new PluginError('plugins.wrong_api', `${path} ${reading.what}`)
  if (reading.kind === 'malformed') throw new PluginError('plugins.bad_module', `${path} ${reading.what}`)
  const warnings = unsafeFile(path, stats)
  return {
    name,
    plugin: reading.plugin,
    path,
    integrity: imported.get(url) ?? digest,
    timeoutMs: options.timeout,
    folder,
    warnings,
  }
}

/** Where Node finds a module from the folder of the configuration, as the URL of a file. */
function locate(module: string, folder: string): string {
  asked += 1
  const word = `bawn-plugin:${asked}`
  const parentURL = pathToFileURL(join(folder, 'bawn.yaml')).href
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === word ? next(module, { ...context, parentURL }) : next(specifier, context),
  })
  let url: string
  try {
    url = import.meta.resolve(word)
  } catch (cause) {
    throw new PluginError('plugins.not_found', `${module} is not to be found from ${folder}${reasonOf(cause)}`, {
      cause,
    })
  } finally {
    hooks.deregister()
  }
  if (url.startsWith('file:')) return url
  throw new PluginError('plugins.not_found', `${module} leads to ${url}, which is no file`)
}

function look(module: string, path: string): { readonly stats: Stats; readonly digest: string } {
  try {
    return { stats: statSync(path), digest: digestOf(readFileSync(path)) }
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    const why = code === 'ENOENT' ? `there is no file ${path}` : `${path} cannot be read (${code})`
    throw new PluginError('plugins.not_found', `${module}: ${why}`, { cause })
  }
}

/**
 * Imports, and looks at the very bytes that are run: not at what the file held a moment before. A plug-in that is pinned loads no other
 * file, for nobody has looked at that one.
 */
async function importOnce(url: string, path: string, options: PluginOptions): Promise<unknown> {
  const { integrity: wanted, timeout } = options
  const hooks = registerHooks({
    load(loading, context, next) {
      const loaded = next(loading, context)
      const digest = digestOf(loaded.source ?? '')
      if (loading === url && wanted !== undefined) {
        if (digest !== wanted) throw otherDigest(path, digest, wanted)
        pinned.add(url)
      }
      imported.set(loading, digest)
      return loaded
    },
    resolve(specifier, context, next) {
      const found = next(specifier, context)
      if (wanted === undefined || context.parentURL !== url || found.url.startsWith('node:')) return found
      throw new PluginError('plugins.bad_integrity', `${path} is pinned and loads ${specifier}: it must be one file`)
    },
  })
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const message = `${path} is not imported within ${timeout} ms`
    timer = setTimeout(() => reject(new PluginError('plugins.bad_module', message)), timeout)
  })
  try {
    const namespace: unknown = await Promise.race([import(url), late])
    return typeof namespace === 'object' && namespace !== null ? Reflect.get(namespace, 'default') : undefined
  } catch (cause) {
    if (cause instanceof PluginError) throw cause
    throw new PluginError('plugins.bad_module', `${path} cannot be imported${reasonOf(cause, path)}`, { cause })
  } finally {
    clearTimeout(timer)
    hooks.deregister()
  }
}

function digestOf(source: string | ArrayBuffer | NodeJS.TypedArray): string {
  const bytes = source instanceof ArrayBuffer ? new Uint8Array(source) : source
  return `sha256-${hash('sha256', bytes, 'base64')}`
}

function otherDigest(path: string, digest: string, wanted: string): PluginError {
  return new PluginError('plugins.bad_integrity', `${path} is ${digest}, and integrity says ${wanted}`)
}

/** What Node says, where it speaks of modules and files; of what the plug-in's own code threw, which may quote anything, only the kind of error. */
function reasonOf(cause: unknown, path?: string): string {
  if (!(cause instanceof Error)) return ''
  if ('code' in cause && typeof cause.code === 'string' && /^E[A-Z_]+$/.test(cause.code)) {
    return ` (${cause.code}: ${printable(cause.message.split('\n')[0] ?? '')})`
  }
  return ` (${cause.name}${path === undefined ? '' : `; node ${path} shows it whole`})`
}

/** Whoever can write the file runs code in the gateway. */
function unsafeFile(path: string, { mode, uid }: Stats): readonly string[] {
  const others = (mode & 0o022) !== 0
  const me = process.getuid?.()
  const foreign = me !== undefined && uid !== me && uid !== 0
  const text = (mode & 0o777).toString(8).padStart(4, '0')
  return [
    ...(others
      ? [`UNSAFE: others may write ${path} (mode ${text}), and run code in the gateway by that: chmod go-w`]
      : []),
    ...(foreign ? [`UNSAFE: ${path} belongs to another user, who can run code in the gateway by that`] : []),
  ]
}
