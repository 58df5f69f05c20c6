import assert from 'node:assert/strict'
import type pg from 'pg'
import { SessionSlots } from '../packages/bawn/src/limits/session-slots.ts'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import { databaseOptions } from '../packages/bawn/src/postgres/option.ts'
import { poolOptions } from '../packages/bawn/src/postgres/pool/option.ts'
import { UpstreamPool } from '../packages/bawn/src/postgres/pool/upstream-pool.ts'
import { createSessionLimits } from '../packages/bawn/src/postgres/session-limits.ts'
import { guardOf } from '../packages/bawn/src/postgres/session-marks.ts'
import type { Planner } from '../packages/bawn/src/postgres/sql/plan.ts'
import { createPlanner } from '../packages/bawn/src/postgres/sql/planner.ts'
import type { DatabaseState, SessionMarks } from '../packages/bawn/src/postgres/state.ts'
import type { Kit } from './postgres-kit.ts'

// Listeners before databases with a pool. No tests in here.

export interface PooledDoor {
  readonly door: PostgresListener
  readonly pool: UpstreamPool
  readonly database: DatabaseState
  as(user: string, more?: pg.ClientConfig): pg.ClientConfig
  close(): Promise<void>
}

/** A listener before a database whose sessions come in as `broker`, if they have marks. @param options of the pool, as the configuration has them */
export async function listenWithPool(
  kit: Kit,
  options: object,
  {
    marks,
    limits = {},
    database = {},
  }: { marks?: SessionMarks; limits?: object; database?: Partial<DatabaseState> } = {},
): Promise<PooledDoor> {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const parsed = poolOptions.parse(options)
  const pool = new UpstreamPool(parsed, undefined)
  let planner: Planner | undefined
  if (marks !== undefined) planner = await createPlanner({ identity: guardOf(marks, 'broker', parsed.mode) })
  const own = marks === undefined ? {} : { user: 'broker', password: 'of the broker' }
  const state: DatabaseState = {
    ...shop,
    upstream: { ...shop.upstream, ...own },
    pool,
    marks,
    planner: planner ?? shop.planner,
    limits: createSessionLimits(databaseOptions.shape.limits.parse(limits)),
    ...database,
  }
  const door = await kit.listen({}, { databases: new Map([['shop', state]]), slots: new SessionSlots() })
  return {
    door,
    pool,
    database: state,
    as: (user, more = {}) => kit.client(user, { port: door.address.port, ...more }),
    async close() {
      await door.drain(0)
      pool.retire()
      await planner?.close()
    },
  }
}
