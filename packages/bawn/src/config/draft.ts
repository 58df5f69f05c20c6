import type { z } from 'zod'
import { mechanismsOptions } from '../authn/option.ts'
import { keysOptions } from '../keys/option.ts'
import { grantsOptions } from '../policy/option.ts'
import { tokensOptions } from '../tokens/option.ts'
import { listSections, recordSections } from './schema.ts'

type Records = typeof recordSections
type Lists = typeof listSections

/**
 * The file entry by entry: a name with `undefined` is an entry that exists and has problems of its own. Cross-checks read this, so
 * that all problems come out at once, and none is reported only because another entry is broken.
 */
export type Draft = {
  readonly [Section in keyof Records]: ReadonlyMap<string, z.output<Records[Section]> | undefined>
} & {
  readonly [Section in keyof Lists]: readonly (z.output<Lists[Section]> | undefined)[]
} & {
  readonly keys: z.output<typeof keysOptions> | undefined
  /** Names of `mechanisms`, sound or not. */
  readonly configured: ReadonlySet<string>
  readonly mechanisms: z.output<typeof mechanismsOptions> | undefined
  readonly tokens: { readonly configured: boolean; readonly options: z.output<typeof tokensOptions> | undefined }
  readonly grants: { readonly configured: boolean; readonly options: z.output<typeof grantsOptions> | undefined }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function recordOf<Schema extends z.ZodType>(schema: Schema, value: unknown): Map<string, z.output<Schema> | undefined> {
  const entries = isObject(value) ? Object.entries(value) : []
  return new Map(entries.map(([name, entry]) => [name, schema.safeParse(entry).data]))
}

function listOf<Schema extends z.ZodType>(schema: Schema, value: unknown): (z.output<Schema> | undefined)[] {
  return (Array.isArray(value) ? value : []).map(entry => schema.safeParse(entry).data)
}

/** Reads what can be read of a file, sound or not. */
export function draftOf(value: unknown): Draft {
  const top = isObject(value) ? value : {}
  return {
    listeners: recordOf(recordSections.listeners, top['listeners']),
    databases: recordOf(recordSections.databases, top['databases']),
    upstreams: recordOf(recordSections.upstreams, top['upstreams']),
    accounts: recordOf(recordSections.accounts, top['accounts']),
    issuers: recordOf(recordSections.issuers, top['issuers']),
    services: recordOf(recordSections.services, top['services']),
    policies: recordOf(recordSections.policies, top['policies']),
    host_rules: listOf(listSections.host_rules, top['host_rules']),
    routes: listOf(listSections.routes, top['routes']),
    fields: listOf(listSections.fields, top['fields']),
    configured: new Set(isObject(top['mechanisms']) ? Object.keys(top['mechanisms']) : []),
    mechanisms: mechanismsOptions.safeParse(top['mechanisms'] ?? {}).data,
    tokens: { configured: top['tokens'] !== undefined, options: tokensOptions.safeParse(top['tokens']).data },
    grants: { configured: top['grants'] !== undefined, options: grantsOptions.safeParse(top['grants']).data },
    keys: keysOptions.safeParse(top['keys']).data,
  }
}
