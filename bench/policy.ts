import { createIdentity } from '../packages/bawn/src/authn/identity.ts'
import { createRequestFacts } from '../packages/bawn/src/http/facts.ts'
import { parsePath } from '../packages/bawn/src/http/path.ts'
import { parseRequestHead } from '../packages/bawn/src/http/request-head.ts'
import { parametersOf } from '../packages/bawn/src/policy/facts.ts'
import { createGate } from '../packages/bawn/src/policy/gate.ts'
import { policyOptions } from '../packages/bawn/src/policy/option.ts'

// What one decision of a policy costs, with the facts of the request made for it as the HTTP door makes them: ns of one core, the best of
// several rounds, since others use the machine as well.

const kinds = {
  'one role of two': { roles: ['admin', 'support'] },
  'all of two scopes': { scopes: { all: ['orders:read', 'orders:write'] } },
  'a claim': { claims: { department: ['IT', 'HR'] } },
  'one’s own': "identity.claims.sub == resource.path.customer || 'support' in identity.roles",
  'exists, and a prefix': "identity.roles.exists(r, r == 'admin') && request.path.startsWith('/a/')",
  'six clauses':
    "request.method == 'GET' && request.path.startsWith('/a/') && 'admin' in identity.roles && identity.claims.level >= 3 && has(identity.claims.department) && identity.claims.department in ['IT', 'HR']",
  'a header and a parameter': "request.headers['x-tenant'] == 'acme' && request.query.page == '1'",
  'a claim that is missing (denied)': "identity.claims.nothing == 'x'",
  'a pattern (RE2)': "request.path.matches('^/a/[a-z0-9]+$')",
  'the hour': 'now.getHours() >= 0',
} as const

const identity = createIdentity({
  id: 'ann',
  roles: ['admin', 'staff'],
  claims: { sub: 'ann', scope: 'orders:read orders:write profile', department: 'IT', level: 3 },
  clientId: undefined,
  mechanism: 'jwt',
  source: 'corp',
  expiresAt: undefined,
})
const headers = [
  'Host',
  'shop.example',
  'Accept',
  '*/*',
  'User-Agent',
  'bench',
  'X-Tenant',
  'acme',
  'Accept-Language',
  'de',
]
const outcome = parseRequestHead('GET', '/a/ann?page=1', '1.1', headers)
const path = parsePath('/a/ann?page=1')
if (outcome.kind !== 'head' || path === undefined) throw new Error('the request is refused')
const { head } = outcome
const request = { method: 'GET', remoteAddress: '127.0.0.1', secure: true }
const use = { kind: 'request', route: '/a/{customer}', parameters: parametersOf('/a/{customer}') } as const

const decisions = 200_000
const rounds = 7

console.log('| policy | decided | ns a decision | compiled in µs |\n|---|---|---:|---:|')
for (const [name, policy] of Object.entries(kinds)) {
  const parsed = policyOptions.parse(policy)
  const begun = performance.now()
  const gate = createGate(['p'], { p: parsed }, undefined, { use })
  const compiledUs = (performance.now() - begun) * 1000
  const decide = () =>
    gate.decide(identity, { door: 'http', verb: 'GET', request: createRequestFacts(request, head, path) })
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round++) {
    const start = process.cpuUsage()
    for (let at = 0; at < decisions; at++) decide()
    const { user, system } = process.cpuUsage(start)
    best = Math.min(best, ((user + system) * 1000) / decisions)
  }
  console.log(`| ${name} | ${decide().kind} | ${best.toFixed(0)} | ${compiledUs.toFixed(0)} |`)
}
