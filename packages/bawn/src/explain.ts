import type { Account } from './accounts/store.ts'
import type { HostNames } from './authn/host-names.ts'
import { type Arrival, createHostRules } from './authn/host-rules.ts'
import { createIdentity, type Identity, type MechanismName, type Outcome } from './authn/identity.ts'
import { isMechanism } from './authn/option.ts'
import { mechanismsAt } from './config/check-host-rules.ts'
import type { Config } from './config/load.ts'
import { isLoopback } from './config/unsafe.ts'
import { explainHints, explainPlaces } from './explain-shown.ts'
import { type Explanation, Steps } from './explanation.ts'
import { createAcl } from './http/acl.ts'
import { supposedRequest } from './http/facts.ts'
import { parsePath } from './http/path.ts'
import { upstreamNames } from './http/routes.ts'
import type { Kinds } from './kinds.ts'
import { disclosureText, fieldsOf } from './known-fields.ts'
import { parametersOf } from './policy/facts.ts'
import { createGate, explainGate, type GateSurroundings } from './policy/gate.ts'
import type { GrantGate } from './policy/grants.ts'
import { isEnforced } from './policy/option.ts'
import type { Action } from './policy/policy.ts'
import { decidingMechanism } from './postgres/login.ts'
import type { PluggedQuestions } from './postgres/startup-settings.ts'
import { routesOf } from './unconnected-routes.ts'

// Why would a request or a login be permitted, masked or refused? Asks the same compiled rules as the doors do, in the same order, and
// opens neither keys nor connections. The doors' own functions decide wherever they can be asked without a client.

/** Who is supposed to ask. */
export type Asking =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'token'; readonly token: string }
  /** Somebody who has proven it somehow, with these roles. */
  | { readonly kind: 'roles'; readonly roles: readonly string[] }

export interface RequestQuestion {
  readonly method: string
  /** Request target: path, perhaps with a query. */
  readonly path: string
  /** As Host says it. */
  readonly host: string
  readonly address: string
  readonly tls: boolean
  /** Flat: name, value. */
  readonly headers?: readonly string[]
  readonly asking: Asking
}

export interface LoginQuestion {
  readonly user: string
  readonly database: string
  readonly address: string
  readonly tls: boolean
  /** What the client would use; `undefined`: each that the rule names, in turn. */
  readonly mechanism: MechanismName | undefined
  readonly asking: Asking
}

/** What explaining needs from outside. Each may throw: then it cannot be said. */
export interface ExplainSurroundings {
  /** What the configuration may name. */
  readonly kinds: Kinds
  /** Judges a token as the doors do. */
  authenticate(token: string): Promise<Outcome>
  /** Looks in the account stores, in order. */
  findAccount(user: string): Promise<{ readonly account: Account; readonly store: string } | undefined>
  /** Decides by the grants of the configuration's store; nothing is granted where it has none. */
  readonly grants?: Pick<GrantGate, 'decide'> | undefined
  /** Asks DNS about the names in host rules; `undefined` where there are none. */
  readonly hostNames?: HostNames | undefined
}

const withRoles = (identity: Identity): string =>
  identity.roles.length > 0 ? `roles ${identity.roles.join(', ')}` : 'no roles'

/** The first rule that holds; every rule and what of it failed becomes a step. */
async function readHostRules(config: Config, arrival: Arrival, steps: Steps, hostNames: HostNames | undefined) {
  await hostNames?.refresh()
  const readings = await createHostRules(config.host_rules, hostNames).explain(arrival)
  for (const { rule, kind, because, use } of readings) {
    const mechanisms = use.length > 0 ? use.join(', ') : 'nothing: refused'
    if (kind === 'decides') steps.add('host rule', `${rule}: holds, and decides; use ${mechanisms}`)
    else if (kind === 'undecided') steps.add('host rule', `${rule}: cannot be told, ${because}`)
    else if (kind === 'holds') steps.add('host rule', `${rule}: would hold, and comes too late`)
    else steps.add('host rule', `${rule}: no, ${because ?? 'a condition fails'}`)
  }
  const first = readings.find(({ kind }) => kind === 'decides' || kind === 'undecided')
  return first?.kind === 'decides' ? first : undefined
}

/** `undefined` when it is not said who asks. */
export async function identify(
  asking: Asking,
  user: string,
  surroundings: ExplainSurroundings,
): Promise<Outcome | undefined> {
  if (asking.kind === 'nobody') return undefined
  if (asking.kind === 'token') return surroundings.authenticate(asking.token)
  return { kind: 'identified', identity: suppose(user, asking.roles) }
}

function suppose(id: string, roles: readonly string[]): Identity {
  const proof = { claims: {}, clientId: undefined, mechanism: 'jwt', source: undefined, expiresAt: undefined } as const
  return createIdentity({ id, ...proof, roles })
}

function addPolicy(
  config: Config,
  allow: readonly string[],
  identity: Identity | undefined,
  { grants }: ExplainSurroundings,
  steps: Steps,
  around: GateSurroundings,
  action?: Action,
) {
  steps.add('policy', ...explainGate(allow, config.policies, identity, grants, around, action))
}

/** Who a request without a credential is, where the rule has a mechanism that proves nothing. */
function unproven(config: Config, use: readonly MechanismName[]): Outcome | undefined {
  const mechanism = use.find((name): name is 'trust' | 'identity' => name === 'trust' || name === 'identity')
  const fixed = mechanism && config.mechanisms[mechanism]
  if (mechanism === undefined || fixed === undefined) return undefined
  const proof = { claims: {}, clientId: undefined, mechanism, source: undefined, expiresAt: undefined } as const
  return { kind: 'identified', identity: createIdentity({ ...proof, id: fixed.user, roles: fixed.roles }) }
}

/** Why a request at the HTTP door would be permitted or refused, and what of each field it would show. */
export async function explainRequest(
  config: Config,
  question: RequestQuestion,
  surroundings: ExplainSurroundings,
): Promise<Explanation> {
  const steps = new Steps()
  const { method, address, tls, asking } = question
  if (!Object.values(config.listeners).some(listener => listener.door === 'http')) {
    steps.add('route', 'the configuration has no listener of door http')
    return steps.end('refused', 'no listener')
  }
  const path = parsePath(question.path)
  if (!path) {
    steps.add(
      'path',
      `${question.path} is refused whatever the route: it is not well formed, or not in its one plain form`,
    )
    return steps.end('refused', 'well-formed path')
  }
  const known = fieldsOf(config)
  const match = routesOf(config, known, surroundings.kinds, surroundings.grants).match(path.segments, question.host)
  const route = match?.methods.get(method)
  if (!match || !route) {
    const why = match ? `the path has routes for ${match.allow} only` : 'no route has this path'
    steps.add('route', `${method} ${path.path}: ${why}`)
    return steps.end('refused', 'no route')
  }
  const options = config.routes[route.at]
  steps.add('route', `${method} ${route.pattern.text}, to upstream ${upstreamNames(route)}`)

  const arrival = {
    door: 'http',
    user: undefined,
    address,
    tls,
    database: undefined,
    route: route.pattern.text,
  } as const
  const rule = await readHostRules(config, arrival, steps, surroundings.hostNames)
  if (!rule) return steps.end('refused', 'no host rule')

  const atDoor = mechanismsAt('http', surroundings.kinds.plugged)
  const atHttp = rule.use.filter(name => atDoor.includes(name))
  const plugged = atHttp.filter(name => !isMechanism(name))
  if (asking.kind === 'token' && !atHttp.includes('jwt')) {
    if (plugged.length > 0) {
      steps.add('mechanism', `a plug-in would be asked what it makes of the token: ${plugged.join(', ')}`)
      return steps.end('depends', rule.rule)
    }
    if (atHttp.includes('introspection')) {
      steps.add('mechanism', `the token’s issuer would be asked: ${config.mechanisms.introspection?.url}`)
      return steps.end('depends', rule.rule)
    }
    steps.add('mechanism', `host rule ${rule.rule} lets nobody use a token here`)
    return steps.end('refused', rule.rule)
  }
  if (asking.kind === 'roles' && atHttp.length === 0) {
    steps.add('mechanism', `host rule ${rule.rule} lets nobody identify here`)
    return steps.end('refused', rule.rule)
  }
  const outcome = asking.kind === 'nobody' ? unproven(config, atHttp) : await identify(asking, 'somebody', surroundings)
  if (outcome && outcome.kind !== 'identified') {
    steps.add('identity', `the token is not accepted: ${outcome.kind === 'rejected' ? outcome.reason : outcome.kind}`)
    return steps.end('refused', rule.rule)
  }
  const identity = outcome?.identity
  if (identity)
    steps.add(
      'identity',
      `${identity.id} (${withRoles(identity)})${identity.source ? `, by ${identity.mechanism} from ${identity.source}` : ''}`,
    )
  else steps.add('identity', 'none: the request has no credential')
  const action = { door: 'http', verb: method, request: supposedRequest(question, path) } as const
  const acl = createAcl(config.acl, Date.now)
  steps.add('policy', ...acl.explain(identity, action.request))
  const found = acl.decide(identity, action.request)
  const decision = route.gate.decide(identity, action)
  const use = { kind: 'request', route: route.pattern.text, parameters: parametersOf(route.pattern.text) } as const
  if (found?.kind !== 'deny') {
    const asked = { ...action, acl: found?.rule }
    addPolicy(config, options?.allow ?? [], identity, surroundings, steps, { use }, asked)
  }
  if (decision.kind === 'deny') {
    if (identity === undefined && atHttp.includes('oidc') && ['GET', 'HEAD'].includes(method)) {
      const issuer = config.mechanisms.oidc?.issuer
      steps.add('mechanism', `oidc: a person’s browser is sent to ${issuer} to log in; everybody else gets 401`)
    }
    return steps.end('refused', decision.reason ?? decision.rule)
  }

  const refusal = explainHints(route, options?.hints?.fields, known, identity, action, steps)
  if (refusal !== undefined) return steps.end('refused', refusal)

  const { response_allow: shownBy } = options ?? {}
  if (shownBy !== undefined) steps.add('answer', `is shown where one of these permits: ${shownBy.join(', ')}`)
  explainPlaces(route, path.segments, known, identity, steps)
  return steps.end('permitted', decision.rule)
}

/** Why a login at the PostgreSQL door would be permitted or refused, and what of each column it would show. */
export async function explainLogin(
  config: Config,
  question: LoginQuestion,
  surroundings: ExplainSurroundings,
): Promise<Explanation> {
  const steps = new Steps()
  const { user, database, address, tls } = question
  const listeners = Object.entries(config.listeners).flatMap(([name, listener]) =>
    listener.door === 'postgres' && (listener.databases?.includes(database) ?? true) ? [name] : [],
  )
  const options = Object.hasOwn(config.databases, database) ? config.databases[database] : undefined
  if (!options)
    steps.add('database', `no database is called ${database}; there are: ${Object.keys(config.databases).join(', ')}`)
  else if (listeners.length === 0) steps.add('database', `no listener of door postgres leads to ${database}`)
  else steps.add('database', `${database}, at listener ${listeners.join(', ')}`)

  // The door matches the host rules before anything else, also for a database that does not exist.
  const arrival = { door: 'postgres', user, address, tls, database, route: undefined } as const
  const rule = await readHostRules(config, arrival, steps, surroundings.hostNames)
  if (!rule) return steps.end('refused', 'no host rule')
  if (!options || listeners.length === 0) return steps.end('refused', 'no such database')
  const { mechanism } = question
  const usable = rule.use.filter(name => mechanism === undefined || name === mechanism)
  if (usable.length === 0) {
    steps.add('mechanism', mechanism === undefined ? 'none may be used from here' : `${mechanism} may not be used here`)
    return steps.end('refused', rule.rule)
  }
  let identity: Identity | undefined
  if (question.asking.kind === 'roles') {
    steps.add('mechanism', `${usable.join(' or ')}: supposed, with the given roles`)
    identity = suppose(user, question.asking.roles)
  } else {
    const { kind } = options.login
    for (const name of usable) {
      if (kind !== 'broker' && name !== (kind === 'verifier' ? 'scram' : kind)) {
        steps.add('mechanism', `${name}: database ${database} takes logins of kind ${kind}`)
        continue
      }
      const found = await tryMechanism(name, rule.use, config, question, surroundings, steps)
      identity ??= found
    }
  }
  if (!identity) {
    const takesToken = usable.includes('jwt') || usable.includes('oauthbearer')
    const atDoor = pluggedAtPostgres(surroundings.kinds.plugged)
    const asksPlugin = usable.some(name => !isMechanism(name) && atDoor.has(name))
    const takesOwn = usable.includes('token')
    const isOpen = (takesToken || takesOwn || asksPlugin) && question.asking.kind === 'nobody'
    if (isOpen && takesToken) steps.add('identity', 'depends on the token: give --token, or --role to suppose one')
    else if (isOpen && takesOwn) steps.add('identity', 'depends on the token: give --role to suppose one')
    else if (isOpen) steps.add('identity', 'depends on the plug-in: give --role to suppose one')
    return steps.end(isOpen ? 'depends' : 'refused', rule.rule)
  }
  steps.add('identity', `${identity.id} (${withRoles(identity)})`)
  const around = { use: { kind: 'database', database } } as const
  const gate = createGate(options.allow, config.policies, surroundings.grants, around)
  const decision = gate.decide(identity, { door: 'postgres', verb: 'connect' })
  addPolicy(config, options.allow, identity, surroundings, steps, around)
  if (decision.kind === 'deny') return steps.end('refused', decision.reason ?? decision.rule)
  if (isEnforced(config.grants, database)) steps.add('grants', 'every statement needs its grants: bawn explain grant')
  for (const { field, disclosure } of fieldsOf(config)) {
    for (const column of field.columns.filter(one => one.database === database)) {
      const name = `${column.schema}.${column.table}.${column.column}`
      steps.add('field', `${field.name} in ${name}: ${disclosureText(disclosure(identity.roles))}`)
    }
  }
  return steps.end('permitted', decision.rule)
}

const pluggedAtPostgres = ({ mechanisms }: Kinds['plugged']): PluggedQuestions => ({
  has: name => mechanisms.get(name)?.doors.includes('postgres') === true,
})

/** Who it would be by this mechanism, as far as that can be known without the proof itself. */
async function tryMechanism(
  mechanism: MechanismName,
  use: readonly MechanismName[],
  config: Config,
  question: LoginQuestion,
  surroundings: ExplainSurroundings,
  steps: Steps,
): Promise<Identity | undefined> {
  const { user, tls, asking } = question
  const supposed = { id: user, claims: {}, clientId: undefined, mechanism, expiresAt: undefined } as const
  const say = (text: string): undefined => {
    steps.add('mechanism', `${mechanism}: ${text}`)
    return undefined
  }
  const takesTokens = mechanism === 'jwt' || mechanism === 'oauthbearer'
  if (!takesTokens && asking.kind === 'token') return say('not used, a token was given')
  const { plugged } = surroundings.kinds
  const first = decidingMechanism(use, undefined, pluggedAtPostgres(plugged))
  const wish = first === mechanism ? '' : `, where the client says -c bawn.login=${mechanism}`
  if (!isMechanism(mechanism)) {
    if (plugged.mechanisms.get(mechanism)?.doors.includes('postgres') !== true) return say('not at door postgres')
    if (!tls && !isLoopback(question.address)) return say('a proof as the password needs TLS')
    return say(`a plug-in would be asked about the name and what is typed as the password${wish}`)
  }
  switch (mechanism) {
    case 'certificate': {
      if (!tls) return say('needs TLS')
      const isLookedUp = Object.values(config.listeners).some(
        listener => listener.door === 'postgres' && listener.tls?.revocation !== undefined,
      )
      const standing = isLookedUp ? ', and that was not revoked' : ''
      const service = Object.entries(config.services).find(([name, options]) => (options.common_name ?? name) === user)
      if (service) {
        say(`service ${service[0]}, with a certificate of CN ${user} that a listener’s client_ca has signed${standing}`)
        return createIdentity({ ...supposed, roles: service[1].roles, source: 'certificate' })
      }
      const found = await surroundings.findAccount(user)
      if (!found) return say(`no service or account is called ${user}`)
      if (found.account.locked) return say(`the account in ${found.store} is locked`)
      say(`the account in ${found.store}, with a certificate of CN ${user}${standing}`)
      return createIdentity({ ...supposed, roles: found.account.roles, source: found.store })
    }
    case 'scram':
    case 'password':
    case 'trust': {
      if (mechanism === 'trust' && first !== 'trust') return say(`not used, ${first ?? 'another'} comes first`)
      if (mechanism === 'password' && !tls && !isLoopback(question.address)) return say('a password in clear needs TLS')
      const found = await surroundings.findAccount(user)
      if (!found) return say(`no account is called ${user}`)
      if (found.account.locked) return say(`the account in ${found.store} is locked`)
      const { scram, password } = found.account
      if (mechanism === 'scram' && !scram) return say(`the account in ${found.store} has no password for SCRAM`)
      if (mechanism === 'password' && !password && !scram) return say(`the account in ${found.store} has no password`)
      const proof = mechanism === 'trust' ? 'without any proof' : 'with its password'
      say(`the account in ${found.store}, ${proof}${wish}`)
      return createIdentity({ ...supposed, roles: found.account.roles, source: found.store })
    }
    case 'token': {
      if (!tls && !isLoopback(question.address)) return say('a token as the password needs TLS')
      const found = await surroundings.findAccount(user)
      if (found?.account.locked === true) return say(`the account in ${found.store} is locked`)
      say(`a token that the gateway has issued to ${user}, as the password${wish}`)
      return found && createIdentity({ ...supposed, roles: found.account.roles, source: found.store })
    }
    case 'pass-through': {
      const found = await surroundings.findAccount(user)
      if (found?.account.locked === true) return say(`the account in ${found.store} is locked`)
      const mapped = config.databases[question.database]?.login.roles?.[user]
      say(`PostgreSQL itself asks, and knows; roles of ${mapped ? 'login.roles' : (found?.store ?? 'nobody')}`)
      return createIdentity({ ...supposed, roles: mapped ?? found?.account.roles ?? [], source: found?.store })
    }
    case 'oauthbearer':
    case 'jwt': {
      if (!tls && (mechanism === 'oauthbearer' || !isLoopback(question.address)))
        return say(mechanism === 'jwt' ? 'a token as the password needs TLS' : 'needs TLS')
      const outcome = await identify(asking, user, surroundings)
      const how = mechanism === 'jwt' ? ' as the password' : ''
      if (!outcome) return say(`a token of ${Object.keys(config.issuers).join(' or ')}${how}${wish}`)
      if (outcome.kind !== 'identified') {
        return say(`the token is not accepted: ${outcome.kind === 'rejected' ? outcome.reason : outcome.kind}`)
      }
      if (outcome.identity.id !== user) return say(`the token is of ${outcome.identity.id}, and the user is ${user}`)
      say(`a token of ${outcome.identity.source ?? 'an issuer'}${wish}`)
      return outcome.identity
    }
    case 'basic':
    case 'digest':
    case 'api-key':
    case 'introspection':
    case 'identity':
    case 'oidc':
      return say('not at door postgres')
  }
}
