import { readFileSync } from 'node:fs'
import { getCACertificates } from 'node:tls'
import type { ReadyCheck } from './admin/door.ts'
import type { RevocationCheck } from './authn/revocation/revocation-check.ts'
import type { Config } from './config/load.ts'
import type { DatabaseLogin } from './database-client.ts'
import { openDatabaseSchema } from './database-schema.ts'
import { databaseTargets } from './database-target.ts'
import type { Catalogue } from './fields/field.ts'
import type { KindSurroundings } from './plugin.ts'
import { createGate } from './policy/gate.ts'
import type { GrantGate } from './policy/grants.ts'
import { createFirewall, type Firewall } from './postgres/firewall/firewall.ts'
import { type Learning, openLearning } from './postgres/firewall/learning.ts'
import { DatabaseHosts } from './postgres/hosts.ts'
import { UpstreamPool } from './postgres/pool/upstream-pool.ts'
import { missingFilters } from './postgres/row-filters/in-place.ts'
import { type RowPolicy, rowPolicyOf } from './postgres/row-filters/policy-sql.ts'
import { createSessionLimits } from './postgres/session-limits.ts'
import { guardOf } from './postgres/session-marks.ts'
import { createParser } from './postgres/sql/parser.ts'
import { createPlanner } from './postgres/sql/planner.ts'
import type { SchemaSource } from './postgres/sql/schema.ts'
import type { DatabaseState, LogEntry, LoginMode, SessionMarks, UpstreamTarget } from './postgres/state.ts'
import { composeRevocation } from './server-tls.ts'

/** A schema that nobody changed through us is looked at again after this long. */
const schemaAgeMs = 10_000

const nothing: readonly never[] = []

/** What a database is composed with. */
export type DatabaseSurroundings = Parameters<typeof composeRevocation>[3] & Pick<KindSurroundings, 'secret'>

/** A database behind the PostgreSQL door, with what is open towards it. */
export interface OpenDatabase {
  readonly state: DatabaseState
  readonly source: SchemaSource
  close(): Promise<void>
}

/** Every database of the configuration. @throws {GatewayError} whatever keeps one from being served */
export function composeDatabases(
  config: Config,
  catalogue: Pick<Catalogue, 'fields'>,
  grants: { readonly gate: GrantGate | undefined; readonly of: (database: string) => DatabaseState['grants'] },
  /** The entry of this name in the configuration that has taken the place of this one. */
  successor: (database: string) => DatabaseState | undefined,
  surroundings: DatabaseSurroundings,
): Promise<readonly OpenDatabase[]> {
  return Promise.all(
    Object.entries(config.databases).map(async ([name, options]) => {
      const [upstream, ...others] = upstreamTargets(name, options, surroundings)
      const filters = await composeRowFilters(options, config)
      const firewall = await composeFirewall(options.firewall, config, grants.gate)
      // Of open sessions too, whose database this stays.
      const firewallNow = (): DatabaseState['firewall'] => {
        const next = successor(name)
        return next === undefined ? firewall : next.firewall
      }
      const hosts =
        others.length === 0
          ? undefined
          : composeHosts(name, [upstream, ...others], { replicas: filters.length === 0, log: surroundings.log })
      const schema = openDatabaseSchema(hosts ?? upstream, {
        fields: catalogue.fields,
        database: name,
        objects: () => grants.of(name) !== undefined || firewallNow()?.asksForTables === true,
        watched: () => firewallNow()?.watched ?? nothing,
        ...(filters.length === 0 ? {} : { missingFilters: query => missingFilters(query, filters) }),
      })
      const learning = composeLearning(name, options.firewall, surroundings)
      const marks = sessionMarks(options.identity)
      const state: DatabaseState = {
        name,
        upstream,
        hosts,
        login: loginMode(options.login),
        marks,
        gate: createGate(options.allow, config.policies, grants.gate, { use: { kind: 'database', database: name } }),
        replication:
          options.replication &&
          createGate(options.replication, config.policies, grants.gate, { use: { kind: 'database', database: name } }),
        limits: createSessionLimits(options.limits),
        pool: options.pool && new UpstreamPool(options.pool, hosts),
        schema: schema.source,
        planner: await createPlanner({
          identity: marks && guardOf(marks, options.login.kind, options.pool?.mode),
        }),
        get firewall() {
          return firewallNow()
        },
        get learning() {
          const next = successor(name)
          return next === undefined ? learning : next.learning
        },
        get grants() {
          return grants.of(name)
        },
      }
      const close = async (): Promise<void> => {
        upstream.tls?.revocation?.close()
        state.pool?.retire()
        await schema.close()
      }
      return { state, source: schema.source, close }
    }),
  )
}

/** A target for each host, with one login and one TLS for all. */
function upstreamTargets(
  name: string,
  options: Config['databases'][string],
  surroundings: DatabaseSurroundings,
): readonly [UpstreamTarget, ...UpstreamTarget[]] {
  const named = { ...options, database: options.database ?? name }
  const [first, ...others] = databaseTargets(`database ${name}`, named, surroundings.secret)
  const revocation = options.tls === 'off' ? undefined : databaseRevocation(name, options.tls, surroundings)
  const upstream = (login: DatabaseLogin): UpstreamTarget => ({
    host: login.host,
    port: login.port,
    database: login.database,
    tls: login.tls && { ...login.tls, revocation },
    user: login.user,
    get password() {
      return login.password
    },
    fetched: login.fetched,
    connectTimeoutMs: login.connectTimeoutMs,
    probeAfterMs: options.probe_after,
  })
  return [upstream(first), ...others.map(upstream)]
}

function composeHosts(
  name: string,
  targets: readonly UpstreamTarget[],
  { replicas, log }: { readonly replicas: boolean } & Pick<DatabaseSurroundings, 'log'>,
): DatabaseHosts<UpstreamTarget> {
  const say = (level: LogEntry['level'], message: string, cause?: unknown): void =>
    log({ level, message: `database ${name}: ${message}`, requestId: '-', ...(cause === undefined ? {} : { cause }) })
  return new DatabaseHosts(targets, {
    replicas,
    now: () => performance.now(),
    onEvent: event => {
      switch (event.kind) {
        case 'primary':
          if (event.before === undefined) say('info', `its primary is ${event.address}`)
          else say('warn', `its primary is ${event.address}, and was ${event.before}`)
          break
        case 'unreachable':
          say('warn', `its host ${event.address} cannot be reached`, event.cause)
          break
        case 'reached':
          say('info', `its host ${event.address} can be reached again`)
          break
      }
    },
  })
}

/** @throws {FirewallError} (rejects with) where a rule cannot be used */
export async function composeFirewall(
  options: Config['databases'][string]['firewall'],
  config: Pick<Config, 'policies'>,
  grants: Pick<GrantGate, 'decide'> | undefined,
): Promise<Firewall | undefined> {
  if (options === undefined) return undefined
  const parser = await createParser()
  return createFirewall(options, parser, allow => createGate(allow, config.policies, grants), config.policies)
}

/** @throws {RowFilterError} (rejects with) where a filter cannot be used */
export async function composeRowFilters(
  {
    row_filters: filters = [],
    identity,
    login,
  }: Pick<Config['databases'][string], 'row_filters' | 'identity' | 'login'>,
  config: Pick<Config, 'policies'>,
): Promise<readonly RowPolicy[]> {
  const { setting, roles_setting: rolesSetting } = identity ?? {}
  // Checked with the configuration.
  if (filters.length === 0 || setting === undefined || rolesSetting === undefined) return []
  const parser = await createParser()
  try {
    return await Promise.all(
      filters.map(filter => rowPolicyOf(filter, config.policies, { login: login.user, setting, rolesSetting }, parser)),
    )
  } finally {
    parser.close()
  }
}

function composeLearning(
  database: string,
  options: Config['databases'][string]['firewall'],
  { log }: DatabaseSurroundings,
): Learning | undefined {
  const learn = options?.learn
  if (learn === undefined) return undefined
  return openLearning({
    file: learn.file,
    maxShapes: learn.max_shapes,
    onProblem: (message, cause) =>
      log({ level: 'warn', message: `database ${database}: ${message}`, requestId: '-', cause }),
  })
}

function loginMode({ kind, roles }: Config['databases'][string]['login']): LoginMode {
  if (kind !== 'pass-through') return { kind }
  return { kind, roles: roles === undefined ? undefined : new Map(Object.entries(roles)) }
}

function sessionMarks(options: Config['databases'][string]['identity']): SessionMarks | undefined {
  if (options === undefined) return undefined
  const { set_role: role, setting, roles_setting: rolesSetting } = options
  return { role: role === true ? 'id' : role && new Map(Object.entries(role)), setting, rolesSetting }
}

function databaseRevocation(
  name: string,
  { ca, revocation }: Exclude<Config['databases'][string]['tls'], 'off'>,
  surroundings: DatabaseSurroundings,
): RevocationCheck | undefined {
  if (revocation === undefined) return undefined
  const authorities = ca === undefined ? getCACertificates() : [readFileSync(ca, 'utf8')]
  return composeRevocation(`database ${name}`, revocation, authorities, surroundings)
}

/** Whether it can be asked, and what of its schema cannot be protected. */
export async function databaseCheck({ state, source }: OpenDatabase): Promise<ReadyCheck> {
  const name = `database ${state.name}`
  const where = (): readonly string[] => (state.hosts === undefined ? [] : [state.hosts.describe()])
  try {
    const { problems, missingFilters: unfiltered = [] } = await source.look(schemaAgeMs)
    // Nothing at all is served then.
    if (unfiltered.length > 0) return { name, ok: false, detail: [...where(), ...unfiltered].join('; ') }
    // Statements that need such a column are refused, everything else is served: somebody may be about to create it.
    const missing = [...where(), ...problems.map(problem => problem.message)].join('; ')
    return missing === '' ? { name, ok: true } : { name, ok: true, detail: missing }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreachable'
    return { name, ok: false, detail: [`its schema cannot be read (${code})`, ...where()].join('; ') }
  }
}
