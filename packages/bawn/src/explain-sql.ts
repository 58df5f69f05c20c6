import { type Identity, identityOfAccount } from './authn/identity.ts'
import { composeDatabases, composeFirewall, type DatabaseSurroundings } from './compose-databases.ts'
import type { Config } from './config/load.ts'
import { type Asking, type ExplainSurroundings, identify } from './explain.ts'
import { type Explanation, Steps } from './explanation.ts'
import { explainGate } from './policy/gate.ts'
import type { GrantGate } from './policy/grants.ts'
import { isEnforced } from './policy/option.ts'
import type { Firewall, FirewallVerdict } from './postgres/firewall/firewall.ts'
import type { Rule, StatementMatch } from './postgres/firewall/rules.ts'
import type { DatabaseObjects } from './postgres/sql/objects.ts'
import { createPlanner } from './postgres/sql/planner.ts'

/** Whose statement it would be. */
export interface SqlQuestion {
  readonly database: string
  readonly sql: string
  /** An account; `undefined`: `asking` says who it is. */
  readonly user: string | undefined
  readonly asking: Asking
  /** Ask the database which tables the names in the statement mean. */
  readonly connect: boolean
}

export interface ExplainSqlSurroundings extends Pick<ExplainSurroundings, 'authenticate' | 'findAccount' | 'kinds'> {
  readonly grants: GrantGate | undefined
  readonly databases: DatabaseSurroundings
}

/** Which rule of the firewall decides over a statement, and why. */
export async function explainSql(
  config: Config,
  question: SqlQuestion,
  surroundings: ExplainSqlSurroundings,
): Promise<Explanation> {
  const steps = new Steps()
  const { database: name, sql } = question
  const options = config.databases[name]
  if (options === undefined) {
    steps.add('database', `no database is called ${name}; there are: ${Object.keys(config.databases).join(', ')}`)
    return steps.end('refused', 'no such database')
  }
  const identity = await whoAsks(question, surroundings, steps)
  if (identity === undefined) return steps.end('refused', 'nobody')
  if (isEnforced(config.grants, name))
    steps.add('grants', 'what the firewall lets pass needs its grants: bawn explain grant')
  const firewall = await composeFirewall(options.firewall, config, surroundings.grants)
  if (firewall === undefined) {
    steps.add('firewall', `database ${name} has none: every statement goes on, to grants and protected columns`)
    return steps.end('permitted', 'no firewall')
  }
  const planner = await createPlanner()
  try {
    const match = await planner.match(Buffer.from(sql), isEnforced(config.grants, name), firewall)
    if (match.kind === 'unread') steps.add('statement', `cannot be understood: ${match.message}`)
    else explainStatements(match.statements, firewall, config, identity, surroundings.grants, steps)
    const objects = question.connect && firewall.asksForTables ? await objectsOf(config, name, surroundings) : undefined
    return conclude(firewall, firewall.judge(match, identity, objects, true), steps)
  } finally {
    await planner.close()
  }
}

function conclude({ options }: Firewall, verdict: FirewallVerdict, steps: Steps): Explanation {
  switch (verdict.kind) {
    case 'unknown':
      return steps.end('depends', 'the tables of the database')
    case 'undecided':
      steps.add('firewall', 'which tables are meant, the database knows: add --connect to ask it')
      return steps.end('depends', verdict.rule)
    case 'permitted':
      return steps.end('permitted', verdict.rule)
    case 'denied':
      if (verdict.what !== undefined) steps.add('firewall', verdict.what)
      if (options.mode === 'enforce') return steps.end('refused', verdict.rule)
      steps.add('firewall', `${verdict.rule}: refused, but mode is observe, so it goes on`)
      return steps.end('permitted', `observed: ${verdict.rule}`)
  }
}

/** What there is to name in the database now. */
async function objectsOf(
  config: Config,
  name: string,
  { grants, databases }: ExplainSqlSurroundings,
): Promise<DatabaseObjects | undefined> {
  const options = config.databases[name]
  if (options === undefined) return undefined
  const only = { ...config, databases: { [name]: options } }
  const [open] = await composeDatabases(
    only,
    { fields: [] },
    { gate: grants, of: () => undefined },
    () => undefined,
    databases,
  )
  try {
    return (await open?.source.refresh())?.objects
  } finally {
    await open?.close()
    await open?.state.planner.close()
  }
}

async function whoAsks(
  { user, asking }: SqlQuestion,
  surroundings: ExplainSqlSurroundings,
  steps: Steps,
): Promise<Identity | undefined> {
  const identity = await (async () => {
    if (asking.kind !== 'nobody') {
      const outcome = await identify(asking, user ?? 'somebody', { ...surroundings, grants: undefined })
      if (outcome?.kind === 'identified') return outcome.identity
      steps.add('identity', `the token is not accepted: ${outcome?.kind === 'rejected' ? outcome.reason : 'absent'}`)
      return undefined
    }
    const found = await surroundings.findAccount(user ?? '')
    if (found === undefined) steps.add('identity', `no account is called ${user}`)
    return found && identityOfAccount(found.account, found.store, 'scram')
  })()
  if (identity === undefined) return undefined
  const roles = identity.roles.length > 0 ? `roles ${identity.roles.join(', ')}` : 'no roles'
  steps.add('identity', `${identity.id} (${roles})`)
  return identity
}

function explainStatements(
  statements: readonly StatementMatch[],
  firewall: Firewall,
  config: Config,
  identity: Identity,
  grants: GrantGate | undefined,
  steps: Steps,
): void {
  for (const [index, { classes, rules }] of statements.entries()) {
    steps.add('statement', `${index + 1}: ${[...classes].join(', ')}`)
    for (const [place, { name, action, for: who }] of firewall.options.rules.entries()) {
      const rule = firewall.rules[place]
      const what = `rule ${name} (${action})`
      if (rule === undefined || !rules.includes(rule)) {
        steps.add('firewall', `${what}: is for other statements, or comes too late`)
        continue
      }
      steps.add('firewall', `${what}: ${conditionsOf(rule)}`)
      if (who !== undefined) steps.add('policy', ...explainGate(who, config.policies, identity, grants))
    }
  }
}

/** What is left to ask of a statement that a rule is for. */
function conditionsOf({ tables, gate }: Rule): string {
  const who = gate === undefined ? 'for everybody' : 'for those whom its policies permit'
  if (tables === undefined) return `is for this statement, ${who}`
  const names = tables.names.map(({ schema, name }) => `${schema}.${name}`).join(', ')
  return `is for this statement where it touches ${names}, ${who}`
}
