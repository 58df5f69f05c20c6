import assert from 'node:assert/strict'
import { connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import pg from 'pg'
import { SessionSlots } from '../packages/bawn/src/limits/session-slots.ts'
import type { DoorOptions } from '../packages/bawn/src/postgres/door.ts'
import type { PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import { databaseOptions } from '../packages/bawn/src/postgres/option.ts'
import { createSessionLimits } from '../packages/bawn/src/postgres/session-limits.ts'
import type { DatabaseState } from '../packages/bawn/src/postgres/state.ts'
import type { Kit } from './postgres-kit.ts'

// Listeners before databases with limits, for the tests of operations. No tests in here.

/** A listener before a database with these `limits`, as the configuration has them. */
export async function listenWithLimits(
  kit: Kit,
  limits: object,
  { options = {}, database = {} }: { options?: Partial<DoorOptions>; database?: Partial<DatabaseState> } = {},
): Promise<{ readonly door: PostgresListener; as(user: string, more?: pg.ClientConfig): pg.ClientConfig }> {
  const shop = kit.state.databases.get('shop')
  assert.ok(shop !== undefined)
  const parsed = databaseOptions.shape.limits.parse(limits)
  const limited: DatabaseState = { ...shop, limits: createSessionLimits(parsed), ...database }
  const door = await kit.listen(options, { databases: new Map([['shop', limited]]), slots: new SessionSlots() })
  return { door, as: (user, more = {}) => kit.client(user, { port: door.address.port, ...more }) }
}

/** A connected client, and the error that ends its session. */
export async function connected(
  config: pg.ClientConfig,
): Promise<{ readonly client: pg.Client; readonly ended: Promise<Error> }> {
  const client = new pg.Client(config)
  const ended = new Promise<Error>(resolve => client.on('error', resolve))
  await client.connect()
  return { client, ended }
}

/** Waits until a condition holds; the runner's own limit ends a wait in vain. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 5))
}

/** SQLSTATE and message of what was thrown. */
export async function failureOf(work: Promise<unknown>): Promise<{ code: string; message: string; hint: string }> {
  const error: unknown = await work.then(
    () => assert.fail('it did not fail'),
    cause => cause,
  )
  assert.ok(error instanceof pg.DatabaseError, String(error))
  return { code: error.code ?? '', message: error.message, hint: error.hint ?? '' }
}

/** A TCP relay before a server, whose network can be cut: nothing goes through any more, and nobody is told. */
export interface CuttableRelay {
  readonly port: number
  /** From now on no byte goes either way; what connects is accepted and hears nothing. */
  cut(): void
}

/** @param t stops it, however the test ends: one that was left would keep the process of a test that failed */
export async function startCuttableRelay(t: TestContext, port: number): Promise<CuttableRelay> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer(near => {
    sockets.add(near)
    near.on('error', () => {})
    if (isCut) {
      near.pause()
      return
    }
    const far = connect({ host: '127.0.0.1', port })
    sockets.add(far)
    far.on('error', () => near.destroy())
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', chunk => {
        if (!isCut) to.write(chunk)
      })
      from.on('close', () => {
        if (!isCut) to.destroy()
      })
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cut() {
      isCut = true
      for (const socket of sockets) socket.pause()
    },
  }
}
