import { createIdentity } from '../../authn/identity.ts'
import { createGate } from '../../policy/gate.ts'
import { fixtureObjects } from '../grants/objects.fixture.ts'
import type { DatabaseObjects } from '../sql/objects.ts'
import { createParser } from '../sql/parser.ts'
import { createPlanner } from '../sql/planner.ts'
import { createFirewall, type Firewall } from './firewall.ts'
import { firewallOptions } from './option.ts'
import { tableKey } from './touched.ts'

// For the tests of this folder: rules as they are written in a configuration, over the objects of the grants' tests.

const parser = await createParser()
const policies = { support: { roles: ['support'] }, billing: { roles: ['billing'] } }

function reached(names: Readonly<Record<string, 'table' | 'view'>>): ReadonlyMap<string, 'table' | 'view'> {
  return new Map(Object.entries(names).map(([name, kind]) => [tableKey('public', name), kind]))
}

/** As the database would tell: `names` and `totals` are views over `people`, `events_2026` is a partition of `events`. */
export const objects: DatabaseObjects = {
  ...fixtureObjects,
  reach: new Map([
    [tableKey('public', 'people'), reached({ people: 'table', names: 'view', totals: 'view' })],
    [tableKey('public', 'events_2026'), reached({ events: 'table', events_2026: 'table' })],
  ]),
}

export function firewallOf(options: unknown): Promise<Firewall> {
  return createFirewall(firewallOptions.parse(options), parser, allow => createGate(allow, policies))
}

export function identityOf(...roles: readonly string[]) {
  const proof = { claims: {}, clientId: undefined, mechanism: 'scram', source: 'staff', expiresAt: undefined } as const
  return createIdentity({ ...proof, id: 'somebody', roles })
}

export interface Decider {
  /** `allow rule`, `deny rule`, or `unread rule` */
  decide(sql: string, ...roles: readonly string[]): Promise<string>
  shapes(sql: string): Promise<readonly (string | undefined)[]>
  close(): Promise<void>
}

export async function createDecider(options: unknown, accounts = false): Promise<Decider> {
  const firewall = await firewallOf(options)
  const planner = await createPlanner()
  return {
    async decide(sql, ...roles) {
      const match = await planner.match(Buffer.from(sql), accounts, firewall)
      const verdict = firewall.judge(match, identityOf(...roles), objects, true)
      switch (verdict.kind) {
        case 'permitted':
          return `allow ${verdict.rule}`
        case 'denied':
          return `deny ${verdict.rule}`
        case 'unknown':
        case 'undecided':
          return verdict.kind
      }
    },
    async shapes(sql) {
      const match = await planner.match(Buffer.from(sql), accounts, firewall)
      return match.kind === 'read' ? match.statements.map(({ shape }) => shape) : []
    },
    close: () => planner.close(),
  }
}
