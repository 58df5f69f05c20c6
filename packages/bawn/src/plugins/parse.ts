import { nearest } from '../nearest.ts'
import type { Plugin } from '../plugin.ts'
import { isObject } from './border.ts'

/** The interface that this gateway offers. */
export const pluginApi = 1

export type PluginReading =
  | { readonly kind: 'ok'; readonly plugin: Plugin }
  | { readonly kind: 'wrong-api'; readonly what: string }
  | { readonly kind: 'malformed'; readonly what: string }

const lists = {
  accountStores: 'open',
  tokenManagers: 'open',
  mechanisms: 'create',
  tokenChecks: 'create',
} as const
const members = ['name', 'api', ...Object.keys(lists)]

/** A kind's name may be a key of the configuration, and stands in logs and metrics. */
const kindForm = /^[a-z][a-z0-9_-]{0,63}$/

/** Reads the default export of a module: is it a plug-in? Its functions are not called. */
export function parsePlugin(value: unknown): PluginReading {
  if (!isObject(value)) return malformed('has no default export that is an object')
  // First of all: what else it must be like, only its own number can say.
  if (value['api'] !== pluginApi) {
    const stated = typeof value['api'] === 'number' ? `api ${value['api']}` : 'no number of an api'
    return { kind: 'wrong-api', what: `states ${stated}; this gateway has api ${pluginApi}` }
  }
  const unknown = Object.keys(value).find(key => !members.includes(key))
  if (unknown !== undefined) {
    const meant = nearest(unknown, members)
    return malformed(`has a member "${unknown}" that no plug-in has${meant ? `: did you mean "${meant}"?` : ''}`)
  }
  if (typeof value['name'] !== 'string' || value['name'] === '') return malformed('has no name')
  let count = 0
  for (const [list, factory] of Object.entries(lists)) {
    const kinds = value[list]
    if (kinds === undefined) continue
    if (!Array.isArray(kinds)) return malformed(`has ${list} that are no list`)
    for (const [at, kind] of kinds.entries()) {
      const wrong = wrongKind(kind, factory) ?? (list === 'mechanisms' ? wrongDoors(kind) : undefined)
      if (wrong !== undefined) return malformed(`has ${list}[${at}], which ${wrong}`)
    }
    count += kinds.length
  }
  if (count === 0) return malformed(`has nothing to offer: ${Object.keys(lists).join(', ')}`)
  return { kind: 'ok', plugin: value as unknown as Plugin }
}

/** What is wrong with a kind of any list; `undefined` when nothing is. */
function wrongKind(kind: unknown, factory: 'open' | 'create'): string | undefined {
  if (!isObject(kind)) return 'is no object'
  const { kind: name, options } = kind
  if (typeof name !== 'string' || !kindForm.test(name)) {
    return 'has no kind of a to z, digits, "_" and "-", at most 64'
  }
  const schema = isObject(options) || typeof options === 'function' ? Reflect.get(options, '~standard') : undefined
  if (!isObject(schema) || schema['version'] !== 1 || typeof schema['validate'] !== 'function') {
    return `("${name}") has options that are no Standard Schema of version 1`
  }
  return typeof kind[factory] === 'function' ? undefined : `("${name}") has no function ${factory}`
}

function wrongDoors(kind: Readonly<Record<string, unknown>>): string | undefined {
  const { doors } = kind
  const known = Array.isArray(doors) && doors.length > 0 && doors.every(door => door === 'http' || door === 'postgres')
  return known ? undefined : 'has no doors: some of http, postgres'
}

function malformed(what: string): PluginReading {
  return { kind: 'malformed', what }
}
