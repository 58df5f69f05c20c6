import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { createIdentity, type Identity } from './authn/identity.ts'
import { type UsableMechanism, usableMechanisms } from './authn/option.ts'
import type { Config } from './config/load.ts'
import type { Problem } from './config/problem.ts'
import type { Source } from './config/yaml.ts'
import { createResponseFacts, supposedRequest } from './http/facts.ts'
import type { Hint } from './http/hints.ts'
import { parsePath } from './http/path.ts'
import type { Kinds } from './kinds.ts'
import { fieldsOf } from './known-fields.ts'
import { createGate } from './policy/gate.ts'
import type { GrantGate } from './policy/grants.ts'
import type { Decision } from './policy/policy.ts'
import { routesOf } from './unconnected-routes.ts'

// A table of cases for `bawn policy test`: somebody asks for something, and what is to become of it. Decided by the very rules that the
// doors compile.

const claims = z.record(z.string(), z.unknown())
const headers = z.record(z.string().regex(/^[A-Za-z0-9-]+$/), z.string().regex(/^[^\r\n]*$/))

const identity = z.strictObject({
  id: z.string().min(1),
  roles: z.array(z.string()).default([]),
  claims: claims.default({}),
  mechanism: z.enum(usableMechanisms).default('jwt'),
  client_id: z.string().optional(),
  source: z.string().optional(),
})

/** What the backend is told; a member that is left out is not compared. */
const hints = z
  .strictObject({
    rows: z.strictObject({ where: z.unknown(), values: z.record(z.string(), z.unknown()).optional() }).optional(),
    fields: z.record(z.string(), z.enum(['plain', 'masked', 'withheld'])).optional(),
  })
  .refine(({ rows, fields }) => rows !== undefined || fields !== undefined, 'needs rows, or fields, or both')

const policyCase = z
  .strictObject({
    name: z.string().optional(),
    identity: identity.optional(),
    request: z
      .strictObject({
        method: z.string().default('GET'),
        path: z.string().startsWith('/'),
        headers: headers.default({}),
        host: z.string().default('localhost'),
        address: z.string().default('127.0.0.1'),
        tls: z.boolean().default(true),
      })
      .optional(),
    response: z
      .strictObject({ status: z.int().min(200).max(599).default(200), headers: headers.default({}), body: z.unknown() })
      .optional(),
    database: z.string().optional(),
    now: z.iso.datetime({ offset: true }).optional(),
    expect: z.enum(['permit', 'deny']),
    rule: z.string().optional(),
    hints: hints.optional(),
  })
  .refine(one => (one.request === undefined) !== (one.database === undefined), 'needs request or database, one of them')
  .refine(one => one.response === undefined || one.request !== undefined, 'needs request, where it has response')
  .refine(one => one.hints === undefined || one.request !== undefined, 'needs request, where it has hints')
  .refine(one => one.hints === undefined || one.expect === 'permit', 'who is denied has no hints: leave them out')

const table = z.strictObject({ cases: z.array(policyCase).min(1) })
type PolicyCase = z.output<typeof policyCase>

/** What became of a case. */
export interface CaseResult {
  readonly name: string
  readonly asked: string
  readonly expected: 'permit' | 'deny'
  readonly decided: 'permit' | 'deny'
  /** Who decided. */
  readonly by: string
  /** What the backend would be told; `undefined` where the route tells nothing, or somebody is denied. */
  readonly hints?: Hint['value'] | undefined
  /** In words, where the decision is right and the hints are not. */
  readonly wrongHints?: string | undefined
  readonly isAsExpected: boolean
}

export type ReadCases =
  | { readonly kind: 'ok'; readonly cases: readonly PolicyCase[] }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] }

/** @param source the file, as it was read */
export function readCases(source: Source): ReadCases {
  const result = table.safeParse(source.value)
  if (result.success) return { kind: 'ok', cases: result.data.cases }
  const problems = result.error.issues.map(({ path, message }) => {
    const steps = path.map(step => (typeof step === 'number' ? step : String(step)))
    return source.problem('error', source.locate(steps, 'value'), steps, message)
  })
  return { kind: 'invalid', problems }
}

/** Decides every case as the doors would. @throws {GatewayError} whatever is wrong with the configuration's routes */
export function runCases(
  cases: readonly PolicyCase[],
  config: Config,
  kinds: Kinds,
  grants: Pick<GrantGate, 'decide'> | undefined,
  clock: () => number,
): readonly CaseResult[] {
  let now = clock()
  const table = routesOf(config, fieldsOf(config), kinds, grants, () => now)
  return cases.map((one, at) => {
    now = one.now === undefined ? clock() : Date.parse(one.now)
    const who = one.identity && identityOf(one.identity)
    const { decision, told } =
      one.database === undefined
        ? decideRequest(one, who, table)
        : { decision: decideLogin(one.database, who, config, grants, () => now), told: undefined }
    const by = decision.kind === 'deny' ? (decision.reason ?? decision.rule) : decision.rule
    const isRule =
      one.rule === undefined ||
      [decision.rule, by].includes(one.rule) ||
      by.startsWith(`${one.rule}: `) ||
      by.startsWith(`${one.rule}, `)
    const asked = one.request === undefined ? `connect to ${one.database}` : `${one.request.method} ${one.request.path}`
    const wrongHints = decision.kind === 'permit' ? differenceOf(one.hints, told) : undefined
    return {
      name: one.name ?? `case ${at + 1}`,
      ...{ asked: `${who?.id ?? 'nobody'}: ${asked}`, expected: one.expect, decided: decision.kind, by },
      ...(told === undefined ? {} : { hints: told }),
      ...(wrongHints === undefined ? {} : { wrongHints }),
      isAsExpected: decision.kind === one.expect && isRule && wrongHints === undefined,
    }
  })
}

function differenceOf(expected: z.output<typeof hints> | undefined, told: Hint['value'] | undefined) {
  for (const part of ['rows', 'fields'] as const) {
    const wanted = expected?.[part]
    if (wanted === undefined) continue
    const got = told?.[part]
    if (got === undefined) return `the backend is told of no ${part}`
    // As JSON says it: that is how it goes to the backend.
    const text = JSON.stringify(got)
    if (!isDeepStrictEqual(JSON.parse(text), JSON.parse(JSON.stringify(wanted))))
      return `the backend is told ${part} ${text}`
  }
  return undefined
}

function identityOf({
  id,
  roles,
  claims: told,
  mechanism,
  client_id: clientId,
  source,
}: z.output<typeof identity>): Identity {
  const made: UsableMechanism = mechanism
  return createIdentity({ ...{ id, roles, claims: told, clientId, mechanism: made, source, expiresAt: undefined } })
}

const denied = (rule: string): Decision => ({ kind: 'deny', rule })

interface Decided {
  readonly decision: Decision
  readonly told?: Hint['value'] | undefined
}
const refused = (rule: string): Decided => ({ decision: denied(rule) })

function decideRequest(
  { request, response }: PolicyCase,
  who: Identity | undefined,
  routes: ReturnType<typeof routesOf>,
): Decided {
  if (request === undefined) return refused('no request')
  const path = parsePath(request.path)
  if (path === undefined) return refused('well-formed path')
  const route = routes.match(path.segments, request.host)?.methods.get(request.method)
  if (route === undefined) return refused('no route')
  const flat = Object.entries(request.headers).flat()
  const facts = supposedRequest({ ...request, headers: flat }, path)
  if (facts === undefined) return refused('well-formed request')
  const action = { door: 'http', verb: request.method, request: facts } as const
  const decision = route.gate.decide(who, action)
  if (decision.kind === 'deny') return { decision }
  const hinted = route.hints?.decide(who, action)
  if (hinted?.kind === 'refused') return refused(hinted.rule)
  const told = hinted?.hint.value
  if (response === undefined || route.responseGate === undefined) return { decision, told }
  const { status, headers: answered, body } = response
  const answer = createResponseFacts(status, Object.entries(answered).flat(), body)
  return { decision: route.responseGate.decide(who, { ...action, response: answer }), told }
}

function decideLogin(
  database: string,
  who: Identity | undefined,
  config: Config,
  grants: Pick<GrantGate, 'decide'> | undefined,
  now: () => number,
): Decision {
  const options = Object.hasOwn(config.databases, database) ? config.databases[database] : undefined
  if (options === undefined) return denied('no such database')
  // At this door nobody is let in who is not identified, whatever the policies say.
  if (who === undefined) return denied('not identified')
  const gate = createGate(options.allow, config.policies, grants, { use: { kind: 'database', database }, now })
  return gate.decide(who, { door: 'postgres', verb: 'connect' })
}
