import { createIdentity } from '../authn/identity.ts'
import { GatewayError } from '../error.ts'
import type { Field, FieldView } from '../fields/field.ts'
import { Conversation } from './conversation.ts'
import { withoutLogins } from './door-state.fixture.ts'
import { noSessionLimits } from './session-limits.ts'
import type { SchemaSnapshot, StatementPlan } from './sql/plan.ts'
import type { DatabaseState, DoorState } from './state.ts'
import { MessageBuilder } from './wire/builder.ts'
import { back } from './wire/message.ts'
import type { ColumnDescription } from './wire/row-description.ts'

// A conversation on no database: what names `secret` is protected, all else is not. And what a server says.

export const secret: Field = {
  name: 'secret',
  columns: [],
  json: [],
  type: 'text',
  encrypt: 'acrablock',
  searchable: false,
}
export const snapshot: SchemaSnapshot = {
  epoch: 1,
  relations: [],
  columns: new Map([[500, new Map([[2, secret]])]]),
  dependents: [],
  homonyms: [],
  problems: [],
}

/** Stored is `S:` and the value; anything else does not open. */
export const view: FieldView = {
  field: secret,
  disclosure: { kind: 'plain', rule: 'test' },
  reveal(stored) {
    const text = Buffer.from(stored).toString('latin1')
    if (!text.startsWith('S:')) throw new GatewayError('fields.unreadable', 'does not open')
    return Buffer.from(text.slice(2), 'latin1')
  },
  protect: plaintext => Buffer.concat([Buffer.from('S:'), plaintext]),
  searchHash: plaintext => plaintext,
}

const identity = createIdentity({
  id: 'ada',
  roles: ['billing'],
  claims: {},
  clientId: undefined,
  mechanism: 'jwt',
  source: undefined,
  expiresAt: undefined,
})

export function conversation(): Conversation {
  const audit = { emit: () => {}, commit: () => {}, head: '', close: async () => {} }
  const plan = (text: Uint8Array): StatementPlan =>
    Buffer.from(text).includes('secret')
      ? {
          kind: 'protected',
          verb: 'SELECT',
          tables: ['public.t'],
          edits: [],
          parameters: [],
          schemaChange: false,
          declares: false,
        }
      : { kind: 'pass', schemaChange: false }
  const database: DatabaseState = {
    name: 'shop',
    upstream: {
      host: '',
      port: 0,
      database: '',
      tls: undefined,
      user: '',
      password: '',
      connectTimeoutMs: 0,
      probeAfterMs: 1,
    },
    gate: { open: false, decide: () => ({ kind: 'permit', rule: 'test' }) },
    limits: noSessionLimits,
    schema: {
      current: undefined,
      fresh: () => snapshot,
      refresh: async () => snapshot,
      outdate: () => {},
      doubt: () => {},
      isChangedBy: () => true,
      announce: () => {},
    },
    planner: {
      plan,
      read: () => Promise.reject(new Error('without grants')),
      match: () => Promise.reject(new Error('without a firewall')),
      close: async () => {},
    },
  }
  const state: DoorState = {
    databases: new Map([['shop', database]]),
    hostRules: { match: () => ({ kind: 'none' }) },
    ...withoutLogins(),
    catalogue: { fields: [secret], find: () => secret, view: () => view },
    audit,
    auditStatements: 'protected',
    log: () => {},
    now: () => 0,
  }
  const context = { audit, sessionId: 's', identity, address: '', database: 'shop', rule: 'test' }
  return new Conversation(state, database, context, { maxFrameBytes: 10_000, maxPending: 100, maxPrepared: 10 })
}

export const column = (name: string, attnum: number, typeOid: number, format = 0): ColumnDescription => ({
  name: Buffer.from(name),
  tableOid: 500,
  attnum,
  typeOid,
  typeLength: -1,
  typeModifier: -1,
  format,
})
export const dataRow = (...cells: (Uint8Array | undefined)[]): Buffer => {
  const row = new MessageBuilder().begin(back.dataRow).int16(cells.length)
  for (const cell of cells) cell === undefined ? row.int32(-1) : row.int32(cell.length).bytes(cell)
  return row.end().take()
}
export const end = (type: number, text: string): Buffer =>
  new MessageBuilder().begin(type).bytes(Buffer.from(text)).end().take()
export const complete = end(back.commandComplete, 'SELECT 1\0')
export const ready = end(back.readyForQuery, 'I')
