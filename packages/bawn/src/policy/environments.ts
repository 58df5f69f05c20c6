import { withExactIntegers } from '../authn/exact-claims.ts'
import type { Identity } from '../authn/identity.ts'
import { type Environment, type Group, group, type Variable, variable } from './cel/environment.ts'
import { CelFault, raise } from './cel/fault.ts'
import { listOf, mapOf } from './cel/type.ts'
import { Timestamp } from './cel/value.ts'
import type { Facts, PolicyUse, RequestFacts } from './facts.ts'
import { scopesOf } from './scopes.ts'

// What expressions may name: identity, request, resource, response, now. Where there is no request, naming one stops the start.

const noRequest = new CelFault('there is no request')
const noAnswer = new CelFault('there is no answer')
const noJson = new CelFault('the answer’s body is no JSON that can be read')
const repeated = new CelFault('a parameter stands in the query more than once')

const of = <Value>(read: (identity: Identity) => Value, nobody: Value) => {
  return ({ identity }: Facts): Value => (identity === undefined ? nobody : read(identity))
}

const noClaims: Readonly<Record<string, unknown>> = Object.freeze(Object.create(null))
const nothing: readonly string[] = Object.freeze([])

const identity: Group<Facts> = group<Facts>({
  id: variable(
    'string',
    of(({ id }) => id, ''),
  ),
  roles: variable(
    listOf('string'),
    of(({ roles }) => roles, nothing),
  ),
  scopes: variable(
    listOf('string'),
    of(({ claims }) => scopesOf(claims), nothing),
  ),
  claims: variable(
    mapOf('string', 'dyn'),
    of(({ claims }) => withExactIntegers(claims), noClaims),
  ),
  mechanism: variable<Facts>(
    'string',
    of<string>(({ mechanism }) => mechanism, ''),
  ),
  clientId: variable(
    'string',
    of(({ clientId }) => clientId ?? '', ''),
  ),
  source: variable(
    'string',
    of(({ source }) => source ?? '', ''),
  ),
  isKnown: variable('bool', ({ identity: who }) => who !== undefined),
})

const asked = <Value>(read: (request: RequestFacts) => Value) => {
  return ({ request }: Facts): Value => (request === undefined ? raise(noRequest) : read(request))
}

const headerForm = /^[a-z0-9-]+$/

const headers: Variable<Facts> = {
  ...variable<Facts>(
    mapOf('string', 'string'),
    asked(request => request.headers),
  ),
  lookUp: ({ request }, name) => (request === undefined ? raise(noRequest) : request.header(name)),
  checkKey: name => {
    if (name !== name.toLowerCase()) return `names of headers are in lower case here: ${name.toLowerCase()}`
    return headerForm.test(name)
      ? undefined
      : `${JSON.stringify(name)} is no name of a header that is taken from a caller`
  },
}

/** The one value of a parameter: who reads the first of two and who reads the last are not asked about the same. */
function single({ request }: Facts, name: string): string | undefined {
  if (request === undefined) return raise(noRequest)
  const values = request.parameter(name)
  return values.length <= 1 ? values[0] : raise(repeated)
}

const query: Variable<Facts> = {
  ...variable<Facts>(mapOf('string', 'string'), facts =>
    Object.fromEntries(Object.keys(facts.request?.query ?? {}).map(name => [name, single(facts, name)])),
  ),
  lookUp: single,
}

const request: Group<Facts> = group<Facts>({
  method: variable(
    'string',
    asked(({ method }) => method),
  ),
  path: variable(
    'string',
    asked(({ path }) => path),
  ),
  address: variable(
    'string',
    asked(({ address }) => address),
  ),
  secure: variable(
    'bool',
    asked(({ secure }) => secure),
  ),
  host: variable(
    'string',
    asked(({ host }) => host),
  ),
  headers,
  query,
  query_values: variable(
    mapOf('string', listOf('string')),
    asked(facts => facts.query),
  ),
})

const response: Group<Facts> = group<Facts>({
  status: variable('int', facts => BigInt(facts.response === undefined ? raise(noAnswer) : facts.response.status)),
  headers: variable(mapOf('string', 'string'), facts => facts.response?.headers ?? raise(noAnswer)),
  body: variable('dyn', facts => {
    if (facts.response === undefined) return raise(noAnswer)
    return facts.response.body === undefined ? raise(noJson) : withExactIntegers(facts.response.body)
  }),
})

const now = variable<Facts>('timestamp', facts => new Timestamp(BigInt(Math.trunc(facts.now())) * 1_000_000n))

function routeGroup(route: string, parameters: ReadonlyMap<string, number>): Group<Facts> {
  const path = Array.from(parameters, ([name, at]) => {
    const missing = new CelFault(`the path has no ${name}`)
    return [
      name,
      variable<Facts>(
        'string',
        asked(({ segments }) => segments[at] ?? raise(missing)),
      ),
    ] as const
  })
  return group<Facts>({ route: variable('string', () => route), path: group(Object.fromEntries(path)) })
}

const onlyAtHttp = 'a session of PostgreSQL has no request'
const onlyAnswers = 'only response_allow of a route can ask about the answer'

/** Everything that is anywhere: for a policy that nothing names. */
const anything: Environment<Facts> = group<Facts>({
  identity,
  request,
  response,
  now,
  resource: group<Facts>({
    route: variable('string', () => ''),
    path: variable(mapOf('string', 'string'), () => ({})),
    database: variable('string', () => ''),
  }),
})

/** What the policies of this use may name. */
export function environmentOf(use: PolicyUse): Environment<Facts> {
  switch (use.kind) {
    case 'any':
      return anything
    case 'identity':
      return group<Facts>(
        { identity, now },
        { request: onlyAtHttp, resource: 'this is asked about a person, not about a place', response: onlyAnswers },
      )
    case 'database': {
      const { database } = use
      const resource = group<Facts>(
        { database: variable('string', () => database) },
        { path: onlyAtHttp, route: onlyAtHttp },
      )
      return group<Facts>({ identity, now, resource }, { request: onlyAtHttp, response: onlyAnswers })
    }
    case 'request':
      return group<Facts>(
        { identity, request, resource: routeGroup(use.route, use.parameters), now },
        { response: onlyAnswers },
      )
    case 'response':
      return group<Facts>({ identity, request, resource: routeGroup(use.route, use.parameters), response, now })
  }
}
