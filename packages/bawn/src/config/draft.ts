import type { z } from 'zod'
import { keysOptions } from '../keys/option.ts'
import { rateLimitsOptions } from '../limits/option.ts'
import { grantsOptions } from '../policy/option.ts'
import { revocationsOptions } from '../tokens/option.ts'
import { workersOptions } from '../workers/option.ts'
import type { PluginKinds } from './kinds.ts'
import type { ConfigSchema } from './schema.ts'

type Records = ConfigSchema['recordSections']
type Lists = ConfigSchema['listSections']

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
  /** Policies that are written as nothing but their expression. */
  readonly shortPolicies: ReadonlySet<string>
  /** Names of `mechanisms`, sound or not. */
  readonly configured: ReadonlySet<string>
  readonly mechanisms: z.output<ConfigSchema['mechanisms']> | undefined
  readonly tokens: { readonly configured: boolean; readonly options: z.output<ConfigSchema['tokens']> | undefined }
  readonly revocations: z.output<typeof revocationsOptions> | undefined
  readonly rate_limits: z.output<typeof rateLimitsOptions> | undefined
  readonly grants: { readonly configured: boolean; readonly options: z.output<typeof grantsOptions> | undefined }
  readonly workers: z.output<typeof workersOptions> | undefined
  /** What plug-ins have brought. */
  readonly kinds: PluginKinds
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
export function draftOf(value: unknown, schema: ConfigSchema, kinds: PluginKinds): Draft {
  const { recordSections, listSections } = schema
  const top = isObject(value) ? value : {}
  return {
    listeners: recordOf(recordSections.listeners, top['listeners']),
    databases: recordOf(recordSections.databases, top['databases']),
    upstreams: recordOf(recordSections.upstreams, top['upstreams']),
    accounts: recordOf(recordSections.accounts, top['accounts']),
    issuers: recordOf(recordSections.issuers, top['issuers']),
    services: recordOf(recordSections.services, top['services']),
    policies: recordOf(recordSections.policies, top['policies']),
    signing: recordOf(recordSections.signing, top['signing']),
    plugins: recordOf(recordSections.plugins, top['plugins']),
    host_rules: listOf(listSections.host_rules, top['host_rules']),
    acl: listOf(listSections.acl, top['acl']),
    routes: listOf(listSections.routes, top['routes']),
    fields: listOf(listSections.fields, top['fields']),
    configured: new Set(isObject(top['mechanisms']) ? Object.keys(top['mechanisms']) : []),
    mechanisms: schema.mechanisms.safeParse(top['mechanisms'] ?? {}).data,
    tokens: { configured: top['tokens'] !== undefined, options: schema.tokens.safeParse(top['tokens']).data },
    revocations: revocationsOptions.safeParse(top['revocations']).data,
    rate_limits: rateLimitsOptions.safeParse(top['rate_limits']).data,
    grants: { configured: top['grants'] !== undefined, options: grantsOptions.safeParse(top['grants']).data },
    shortPolicies: new Set(
      Object.entries(top['policies'] ?? {}).flatMap(([name, policy]) => (typeof policy === 'string' ? [name] : [])),
    ),
    workers: workersOptions.safeParse(top['workers']).data,
    keys: keysOptions.safeParse(top['keys']).data,
    kinds,
  }
}
