import { z } from 'zod'
import { accountStoreOptions } from '../accounts/option.ts'
import { adminListenerOptions } from '../admin/option.ts'
import { accessLogOptions, auditOptions } from '../audit/option.ts'
import { hostRuleOptionsWith, issuerOptions, mechanismsOptions, serviceOptions } from '../authn/option.ts'
import { fieldOptions } from '../fields/option.ts'
import { aclRuleOptions, httpListenerOptions, routeOptions, upstreamOptions } from '../http/option.ts'
import { keysOptions } from '../keys/option.ts'
import { rateLimitsOptions } from '../limits/option.ts'
import { type Frozen, name } from '../option.ts'
import { pluginOptions } from '../plugins/option.ts'
import { grantsOptions, policyOptions } from '../policy/option.ts'
import { databaseOptions, postgresListenerOptions } from '../postgres/option.ts'
import { commonTokenOptions, revocationsOptions, signingOptions, tokensOptions } from '../tokens/option.ts'
import { workersOptions } from '../workers/option.ts'
import { type CheckOptions, noPluginKinds, type PluginEntry, type PluginKinds, type WrittenOptions } from './kinds.ts'

// The whole of bawn.yaml, composed of the schemas that each folder keeps in its option.ts. A section is a record (name: entry), a
// list, or a single object; `draft.ts` reads entries one by one by the same tables, so that one bad entry hides no other problem.

/** A door and where it listens; `door` tells the kinds apart. */
export const listenerOptions = z.discriminatedUnion('door', [
  httpListenerOptions,
  postgresListenerOptions,
  adminListenerOptions,
])
export type ListenerOptions = Frozen<z.output<typeof listenerOptions>>

/** Has the plug-in judge what is written, and keeps it as it is. */
function judged(check: CheckOptions, kind: string, written: WrittenOptions, context: z.RefinementCtx): PluginEntry {
  for (const { path, message } of check(written)) context.addIssue({ code: 'custom', path: [...path], message })
  return { kind: 'plugin', name: kind, written }
}

/** Entries of kinds that plug-ins have. */
const pluggedStores = (kinds: PluginKinds['accounts']) =>
  Array.from(kinds, ([kind, check]) =>
    z
      .looseObject({ kind: z.literal(kind) })
      .transform(({ kind: _, ...written }, context) => judged(check, kind, written, context)),
  )

const pluggedTokens = (kinds: PluginKinds['tokens']) =>
  Array.from(kinds, ([kind, check]) =>
    commonTokenOptions
      .extend({ kind: z.literal(kind) })
      .catchall(z.unknown())
      .transform(({ kind: _, ttl, resource, endpoint, headers, claims, cookie, ...written }, context) => ({
        ...judged(check, kind, written, context),
        ...{ ttl, resource, endpoint, headers, claims, cookie },
      })),
  )

/** The options of `mechanisms`; those of plug-ins are beside ours, as entries that `pluggedMechanisms` finds. */
function mechanismsWith(kinds: PluginKinds['mechanisms']) {
  const entries = Array.from(kinds, ([kind, { check }]) => {
    const entry = z.looseObject({}).transform((written, context) => judged(check, kind, written, context))
    return [kind, entry.optional()] as const
  })
  // Their names are known to a running gateway alone, and to no type.
  const shape: Record<never, z.ZodType> = Object.fromEntries(entries)
  return mechanismsOptions.extend(shape)
}

/** The configuration file as a whole, with what plug-ins add to it. Unknown keys are refused at every level. */
export function configSchema(kinds: PluginKinds) {
  const accounts = z.discriminatedUnion('kind', [...accountStoreOptions.options, ...pluggedStores(kinds.accounts)])
  const tokens = z.discriminatedUnion('kind', [...tokensOptions.options, ...pluggedTokens(kinds.tokens)])
  const mechanisms = mechanismsWith(kinds.mechanisms)
  const hostRule = hostRuleOptionsWith([...kinds.mechanisms.keys()])

  /** Sections that are `name: entry`, with the schema of an entry. */
  const recordSections = {
    listeners: listenerOptions,
    databases: databaseOptions,
    upstreams: upstreamOptions,
    accounts,
    issuers: issuerOptions,
    services: serviceOptions,
    policies: policyOptions,
    signing: signingOptions,
    plugins: pluginOptions,
  } as const

  /** Sections that are lists, with the schema of an entry. */
  const listSections = {
    host_rules: hostRule,
    acl: aclRuleOptions,
    routes: routeOptions,
    fields: fieldOptions,
  } as const

  const options = z.strictObject({
    listeners: z
      .record(name, listenerOptions)
      .refine(listeners => Object.keys(listeners).length > 0, 'needs at least one listener')
      .describe('doors that clients come in by'),
    databases: z.record(name, databaseOptions).default({}).describe('PostgreSQL databases that clients may reach'),
    upstreams: z.record(name, upstreamOptions).default({}).describe('backends that routes lead to'),
    accounts: z.record(name, accounts).default({}).describe('where users with a password live'),
    issuers: z.record(name, issuerOptions).default({}).describe('whose tokens we believe'),
    services: z.record(name, serviceOptions).default({}).describe('programs that log in with a client certificate'),
    mechanisms: mechanisms.prefault({}).describe('options of the ways to prove who one is'),
    tokens: tokens.optional().describe('tokens of our own: without it none are issued'),
    signing: z
      .record(name, signingOptions)
      .default({})
      .describe('keys by which the gateway signs what others believe: claims of a login, and who is asking'),
    revocations: revocationsOptions
      .optional()
      .describe('tokens of issuers, and API keys, that were taken back before their end: without it none can be'),
    host_rules: z
      .array(hostRule)
      .default([])
      .describe('who may use which mechanism: the first rule whose every condition holds decides; none: refused'),
    policies: z
      .record(name, policyOptions)
      .default({})
      .describe('rules by name, for allow; anyone, authenticated and acl are built in'),
    acl: z
      .array(aclRuleOptions)
      .default([])
      .describe(
        'access control list of all routes: the first rule that holds denies, or allows where a route’s allow has acl',
      ),
    grants: grantsOptions
      .optional()
      .describe('who may do what with schemas and tables: without it nothing of that is enforced'),
    rate_limits: rateLimitsOptions
      .optional()
      .describe('what rate_limit counts, and guesses, shared by all nodes: without it each process counts for itself'),
    routes: z.array(routeOptions).default([]).describe('HTTP endpoints; what no route names is 404'),
    fields: z
      .array(fieldOptions)
      .default([])
      .describe('what is sensitive, how it is protected, and what each role sees of it'),
    keys: keysOptions.describe('the keystore; the audit chain has its key here too'),
    audit: auditOptions.describe('who saw what'),
    access_log: accessLogOptions
      .optional()
      .describe(
        'a line for each request and each session of PostgreSQL, for whoever watches or counts; without it none is written',
      ),
    workers: workersOptions,
    plugins: z
      .record(name, pluginOptions)
      .default({})
      .describe('code of others, for further mechanisms, account stores, token managers and checks of tokens'),
  })
  return { recordSections, listSections, mechanisms, tokens, options }
}

export type ConfigSchema = ReturnType<typeof configSchema>

/** The file where no plug-in is there. */
export const plainSchema: ConfigSchema = configSchema(noPluginKinds)

/** What the schema makes of a file: every default filled in, durations in milliseconds. */
export type ConfigOptions = Frozen<z.output<ConfigSchema['options']>>
