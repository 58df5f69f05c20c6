import { z } from 'zod'
import { accountStoreOptions } from '../accounts/option.ts'
import { adminListenerOptions } from '../admin/option.ts'
import { auditOptions } from '../audit/option.ts'
import { hostRuleOptions, issuerOptions, mechanismsOptions, serviceOptions } from '../authn/option.ts'
import { fieldOptions } from '../fields/option.ts'
import { httpListenerOptions, routeOptions, upstreamOptions } from '../http/option.ts'
import { keysOptions } from '../keys/option.ts'
import { type Frozen, name } from '../option.ts'
import { grantsOptions, policyOptions } from '../policy/option.ts'
import { databaseOptions, postgresListenerOptions } from '../postgres/option.ts'
import { tokensOptions } from '../tokens/option.ts'

// The whole of bawn.yaml, composed of the schemas that each folder keeps in its option.ts. A section is a record (name: entry), a
// list, or a single object; `draft.ts` reads entries one by one by the same tables, so that one bad entry hides no other problem.

/** A door and where it listens; `door` tells the kinds apart. */
export const listenerOptions = z.discriminatedUnion('door', [
  httpListenerOptions,
  postgresListenerOptions,
  adminListenerOptions,
])
export type ListenerOptions = Frozen<z.output<typeof listenerOptions>>

/** Sections that are `name: entry`, with the schema of an entry. */
export const recordSections = {
  listeners: listenerOptions,
  databases: databaseOptions,
  upstreams: upstreamOptions,
  accounts: accountStoreOptions,
  issuers: issuerOptions,
  services: serviceOptions,
  policies: policyOptions,
} as const

/** Sections that are lists, with the schema of an entry. */
export const listSections = {
  host_rules: hostRuleOptions,
  routes: routeOptions,
  fields: fieldOptions,
} as const

/** The configuration file as a whole. Unknown keys are refused at every level. */
export const configOptions = z.strictObject({
  listeners: z
    .record(name, listenerOptions)
    .refine(listeners => Object.keys(listeners).length > 0, 'needs at least one listener')
    .describe('doors that clients come in by'),
  databases: z.record(name, databaseOptions).default({}).describe('PostgreSQL databases that clients may reach'),
  upstreams: z.record(name, upstreamOptions).default({}).describe('backends that routes lead to'),
  accounts: z.record(name, accountStoreOptions).default({}).describe('where users with a password live'),
  issuers: z.record(name, issuerOptions).default({}).describe('whose tokens we believe'),
  services: z.record(name, serviceOptions).default({}).describe('programs that log in with a client certificate'),
  mechanisms: mechanismsOptions.prefault({}).describe('options of the ways to prove who one is'),
  tokens: tokensOptions.optional().describe('tokens of our own: without it none are issued'),
  host_rules: z
    .array(hostRuleOptions)
    .default([])
    .describe('who may use which mechanism: the first rule whose every condition holds decides; none: refused'),
  policies: z
    .record(name, policyOptions)
    .default({})
    .describe('rules by name, for allow; anyone and authenticated are built in'),
  grants: grantsOptions
    .optional()
    .describe('who may do what with schemas and tables: without it nothing of that is enforced'),
  routes: z.array(routeOptions).default([]).describe('HTTP endpoints; what no route names is 404'),
  fields: z
    .array(fieldOptions)
    .default([])
    .describe('what is sensitive, how it is protected, and what each role sees of it'),
  keys: keysOptions.describe('the keystore; the audit chain has its key here too'),
  audit: auditOptions.describe('who saw what'),
})

/** What the schema makes of a file: every default filled in, durations in milliseconds. */
export type ConfigOptions = Frozen<z.output<typeof configOptions>>
