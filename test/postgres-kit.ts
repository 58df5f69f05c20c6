import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { type Authority, createAuthority } from '@bawn/demo/certificates'
import { type Postgres, startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'
import { deriveArgon2idVerifier } from '../packages/bawn/src/accounts/argon2id.ts'
import { createPasswordCheck } from '../packages/bawn/src/accounts/password.ts'
import { deriveScramVerifier } from '../packages/bawn/src/accounts/scram-verifier.ts'
import { type Account, type AccountStore, decoySecretOf, findAccount } from '../packages/bawn/src/accounts/store.ts'
import { createLoginThrottle } from '../packages/bawn/src/accounts/throttle.ts'
import type { AuditEvent } from '../packages/bawn/src/audit/event.ts'
import { createCertificateMechanism } from '../packages/bawn/src/authn/certificate.ts'
import type { Arrival, HostRuleMatch } from '../packages/bawn/src/authn/host-rules.ts'
import { createIdentity, type Outcome } from '../packages/bawn/src/authn/identity.ts'
import { createScramMechanism } from '../packages/bawn/src/authn/scram-mechanism.ts'
import { createTrustMechanism } from '../packages/bawn/src/authn/trust.ts'
import { createCatalogue } from '../packages/bawn/src/fields/catalogue.ts'
import { fieldOptions } from '../packages/bawn/src/fields/option.ts'
import { openDirectoryKeystore } from '../packages/bawn/src/keys/directory.ts'
import { generateKeys } from '../packages/bawn/src/keys/generate.ts'
import { SessionSlots } from '../packages/bawn/src/limits/session-slots.ts'
import { createGate } from '../packages/bawn/src/policy/gate.ts'
import type { DoorOptions } from '../packages/bawn/src/postgres/door.ts'
import { listenPostgres, type PostgresListener } from '../packages/bawn/src/postgres/listener.ts'
import { noSessionLimits } from '../packages/bawn/src/postgres/session-limits.ts'
import { createPlanner } from '../packages/bawn/src/postgres/sql/planner.ts'
import { createSchemaSource } from '../packages/bawn/src/postgres/sql/schema.ts'
import type { DatabaseState, DoorState, LogEntry } from '../packages/bawn/src/postgres/state.ts'

import { buildBind } from '../packages/bawn/src/postgres/wire/bind.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildParse, buildQuery } from '../packages/bawn/src/postgres/wire/parse.ts'
import { buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'

// What the door's tests stand on: a real PostgreSQL, the door before it, and everything else of ours as it is. No tests in here.

export const password = 'correct horse'
const iterations = 4_096

export interface Kit {
  readonly postgres: Postgres
  readonly authority: Authority
  readonly events: AuditEvent[]
  readonly logs: LogEntry[]
  readonly state: DoorState
  /** The first listener: TLS, client certificates optional. */
  readonly door: PostgresListener
  /** As `pg.Client` takes it. */
  client(user: string, more?: pg.ClientConfig): pg.ClientConfig
  /** A further listener. */
  listen(options?: Partial<DoorOptions>, state?: Partial<DoorState>): Promise<PostgresListener>
  /** Straight at the server, as superuser. */
  direct(sql: string): Promise<Record<string, unknown>[]>
  stop(): Promise<void>
}

/** The rule that tests change: which mechanisms each user may use. */
export const rules = new Map<string, HostRuleMatch>()

/**
 * @param more further fields, beside `email` and `photo` of `people`
 * @param grants decide about every statement, where they are given
 * @param settings of PostgreSQL
 */
export async function startKit(
  setup: string,
  more: readonly unknown[] = [],
  grants?: DatabaseState['grants'],
  settings: Readonly<Record<string, string>> = {},
): Promise<Kit> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-door-'))
  const authority = createAuthority('test authority')
  const server = authority.issue('door', 'server', ['localhost', '127.0.0.1'])
  const postgres = await startPostgres({
    settings: { max_connections: '150', ...settings },
    tls: authority.issue('postgres', 'server', ['localhost', '127.0.0.1']),
  })
  const owner = { host: postgres.host, port: postgres.port, user: postgres.user, password: postgres.password }
  const direct = async (sql: string): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client({ ...owner, database: 'postgres' })
    client.on('error', () => {})
    await client.connect()
    try {
      const result: unknown = await client.query(sql)
      return result instanceof Object && 'rows' in result && Array.isArray(result.rows) ? result.rows : []
    } finally {
      await client.end()
    }
  }
  await direct(setup)

  const masterKey = randomBytes(32)
  generateKeys({ path: join(folder, 'keys'), masterKey, clientId: 'shop-keys' })
  const catalogue = createCatalogue(
    [
      {
        name: 'email',
        columns: ['public.people.email'],
        protect: { encrypt: 'acrablock', searchable: true },
        reveal: { billing: 'plain', support: { mask: 'keep_first', characters: 1 }, default: 'nothing' },
      },
      {
        name: 'photo',
        columns: ['public.people.photo'],
        type: 'bytes',
        protect: { encrypt: 'acrablock' },
        reveal: { billing: 'plain', default: 'nothing' },
      },
      ...more,
    ].map(options => fieldOptions.parse(options)),
    {
      keystore: openDirectoryKeystore({ path: join(folder, 'keys'), masterKey }),
      defaultClientId: 'shop-keys',
      databases: ['shop'],
    },
  )
  const pool = new pg.Pool({ ...owner, database: 'postgres', max: 1 })
  pool.on('error', () => {})
  // One that is lost while it is asked tells whoever asked.
  pool.on('connect', one => one.on('error', () => {}))
  const schema = createSchemaSource({
    query: async (sql, parameters) => (await pool.query(sql, [...parameters])).rows,
    fields: catalogue.fields,
    database: 'shop',
    objects: () => grants !== undefined,
  })
  const planner = await createPlanner()
  const store = await createAccounts()
  // Tests fail logins by the dozen from one address: buckets that never fill; throttle.test.ts and postgres-login.test.ts have real ones.
  const endless = { burst: 1e6, intervalMs: 1 }
  const throttle = createLoginThrottle({
    now: () => performance.now(),
    accountAndNetwork: endless,
    account: endless,
    network: endless,
  })
  const passwords = createPasswordCheck({ stores: [store], throttle, now: () => performance.now() })
  const events: AuditEvent[] = []
  const logs: LogEntry[] = []
  const state: DoorState = {
    databases: new Map([
      [
        'shop',
        {
          name: 'shop',
          upstream: {
            host: postgres.host,
            port: postgres.port,
            database: 'postgres',
            tls: { ca: authority.certificate, serverName: undefined },
            user: postgres.user,
            password: postgres.password,
            connectTimeoutMs: 5_000,
            probeAfterMs: 30_000,
          },
          gate: createGate(['staff'], { staff: { roles: ['billing', 'support', 'guest'] } }),
          limits: noSessionLimits,
          schema,
          planner,
          grants,
        },
      ],
    ]),
    hostRules: { match: ruleFor },
    certificate: createCertificateMechanism({ machine: { common_name: 'machine', roles: ['billing'] } }),
    scram: createScramMechanism({ stores: [store], decoySecret: decoySecretOf([store]), decoyIterations: iterations }),
    jwt: { authenticate: tokenOf },
    password: passwords,
    trust: createTrustMechanism([store]),
    findAccount: user => findAccount([store], user),
    plugged: new Map(),
    token: undefined,
    tokenSource: { configuration: 'https://id.example/.well-known/openid-configuration', scope: 'openid' },
    throttle,
    slots: new SessionSlots(),
    catalogue,
    audit: { emit: event => events.push(event), commit: () => {}, head: '', close: async () => {} },
    auditStatements: 'protected',
    log: entry => logs.push(entry),
    now: Date.now,
  }
  const listeners: PostgresListener[] = []
  const listen: Kit['listen'] = async (options = {}, changes = {}) => {
    const door = await listenPostgres(
      { host: '127.0.0.1', port: 0 },
      {
        name: 'sql',
        tls: {
          certificate: server.certificate,
          key: server.key,
          clientCa: authority.certificate,
          clientCertificate: 'optional',
        },
        databases: undefined,
        authentication_timeout: 10_000,
        keepalive: 60_000,
        write_timeout: 60_000,
        max_connections: 50,
        max_frame_bytes: 1_048_576,
        max_pending: 1_000,
        max_prepared: 100,
        ...options,
      },
      { ...state, ...changes },
    )
    listeners.push(door)
    return door
  }
  const door = await listen()
  return {
    postgres,
    authority,
    events,
    logs,
    state,
    door,
    listen,
    direct,
    client: (user, more = {}) => ({
      host: 'localhost',
      port: door.address.port,
      user,
      password,
      database: 'shop',
      ssl: { ca: authority.certificate },
      ...more,
    }),
    async stop() {
      await Promise.all(listeners.map(listener => listener.drain(0)))
      await passwords.close()
      await planner.close()
      await pool.end()
      await postgres.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function ruleFor({ user }: Arrival): HostRuleMatch {
  return rules.get(user ?? '') ?? { kind: 'matched', rule: 'everybody', use: ['certificate', 'scram', 'jwt'] }
}

/** `token:<id>:<role>`, with an end in ms since 1970 `token:<id>:<role>:<end>`, `expired:`, `outage:` */
function tokenOf(token: string): Outcome {
  const [kind, id = '', role = '', expiresAt] = token.split(':')
  if (kind === 'outage') throw new Error('the issuer cannot be reached')
  if (kind === 'expired') return { kind: 'rejected', reason: 'expired' }
  if (kind !== 'token') return { kind: 'rejected', reason: 'malformed' }
  const identity = createIdentity({
    id,
    roles: [role],
    claims: {},
    clientId: undefined,
    mechanism: 'jwt',
    source: 'corp',
    expiresAt: expiresAt === undefined ? undefined : Number(expiresAt),
  })
  return { kind: 'identified', identity }
}

async function createAccounts(): Promise<AccountStore> {
  const scram = await deriveScramVerifier(password, randomBytes(16), iterations)
  const hashed = await deriveArgon2idVerifier(password, { memoryKib: 64, passes: 1, parallelism: 1 })
  const account = (name: string, roles: readonly string[], locked = false): Account => ({ name, roles, scram, locked })
  const accounts = new Map(
    [
      account('billy', ['billing']),
      account('sue', ['support']),
      account('gus', ['guest']),
      account('outsider', ['nobody']),
      account('lockey', ['billing'], true),
      // No SCRAM verifier: the password has to come in clear.
      { name: 'hasher', roles: ['billing'], scram: undefined, password: hashed, locked: false },
    ].map(one => [one.name, one]),
  )
  return {
    name: 'staff',
    find: async user => accounts.get(user),
    list: async () => [...accounts.values()],
    add: async () => {},
    setVerifier: async () => {},
    close: async () => {},
  }
}

/** Runs `work` with a connected node-postgres client. */
export async function withClient<Result>(
  config: pg.ClientConfig,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client(config)
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** A raw connection: bytes out, and everything that came back once the other side has closed or enough is there. */
export class RawClient {
  readonly socket: Socket
  received: Buffer = Buffer.alloc(0)
  closed = false
  /** Body of BackendKeyData. */
  backendKey: Buffer | undefined
  #wake: (() => void) | undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', chunk => {
      this.received = Buffer.concat([this.received, chunk])
      this.#wake?.()
    })
    socket.on('close', () => {
      this.closed = true
      this.#wake?.()
    })
    socket.on('error', () => {})
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connectTcp({ host: '127.0.0.1', port })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new RawClient(socket)))
    })
  }

  static connectTls(port: number, ca: string, alpn: string[]): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({ host: 'localhost', port, ca, ALPNProtocols: alpn })
      socket.once('error', reject)
      socket.once('secureConnect', () => resolve(new RawClient(socket)))
    })
  }

  /** Resolves when the condition holds; rejects when the connection closed before. */
  async until(condition: (received: Buffer) => boolean): Promise<Buffer> {
    while (!condition(this.received)) {
      if (this.closed) throw new Error(`closed after ${this.received.length} bytes`)
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return this.received
  }

  /** Everything that came until the other side closed. */
  async untilClosed(): Promise<Buffer> {
    while (!this.closed) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return this.received
  }

  /** Messages received so far, whole ones only. */
  messages(): { readonly type: string; readonly body: Buffer }[] {
    const all: { type: string; body: Buffer }[] = []
    for (let at = 0; at + 5 <= this.received.length; ) {
      const size = this.received.readInt32BE(at + 1) + 1
      if (at + size > this.received.length) break
      all.push({
        type: String.fromCharCode(this.received.readUInt8(at)),
        body: this.received.subarray(at + 5, at + size),
      })
      at += size
    }
    return all
  }

  /** Letters of the messages, in order. */
  letters(): string {
    return this.messages()
      .map(message => message.type)
      .join('')
  }

  /** Resolves when `count` ReadyForQuery messages came; answers and forgets what was received. */
  async ready(count = 1): Promise<string> {
    await this.until(() => this.letters().split('Z').length - 1 >= count)
    const letters = this.letters()
    this.received = Buffer.alloc(0)
    return letters
  }
}

/** A raw connection in clear, logged in by token as `user` with one role, idle. */
export async function rawLogin(
  port: number,
  user: string,
  role: string,
  minor = 0,
  more: readonly (readonly [name: string, value: string])[] = [],
): Promise<RawClient> {
  rules.set(user, { kind: 'matched', rule: 'tokens', use: ['jwt'] })
  const client = await RawClient.connect(port)
  const startup = buildStartupMessage([['user', user], ['database', 'shop'], ...more])
  startup.writeInt32BE(0x0003_0000 + minor, 4)
  client.socket.write(startup)
  await client.until(() => client.letters() === 'R')
  const token = new MessageBuilder().begin(front.password).cstring(`token:${user}:${role}`).end().take()
  client.socket.write(token)
  await client.until(() => client.letters().includes('Z'))
  client.backendKey = client.messages().find(message => message.type === 'K')?.body
  client.received = Buffer.alloc(0)
  return client
}

/** Messages of the extended protocol, in short. */
export const say = {
  query: (text: string) => buildQuery(Buffer.from(text)),
  parse: (name: string, text: string, types: number[] = []) => buildParse({ name, text: Buffer.from(text), types }),
  bind: (portal: string, statement: string, values: (string | undefined)[] = [], resultFormats: number[] = []) =>
    buildBind({
      portal,
      statement,
      formats: values.map(() => 0),
      values: values.map(value => (value === undefined ? undefined : Buffer.from(value))),
      resultFormats,
    }),
  describe: (of: 'S' | 'P', name: string) =>
    new MessageBuilder().begin(front.describe).uint8(of.charCodeAt(0)).cstring(name).end().take(),
  execute: (portal: string, rows = 0) =>
    new MessageBuilder().begin(front.execute).cstring(portal).int32(rows).end().take(),
  close: (of: 'S' | 'P', name: string) =>
    new MessageBuilder().begin(front.close).uint8(of.charCodeAt(0)).cstring(name).end().take(),
  sync: Buffer.from([front.sync, 0, 0, 0, 4]),
  flush: Buffer.from([front.flush, 0, 0, 0, 4]),
  copyData: (text: string) => new MessageBuilder().begin(front.copyData).bytes(Buffer.from(text)).end().take(),
  copyDone: Buffer.from([front.copyDone, 0, 0, 0, 4]),
  copyFail: new MessageBuilder().begin(front.copyFail).cstring('no').end().take(),
  terminate: Buffer.from([front.terminate, 0, 0, 0, 4]),
}

/** Cells of a DataRow as text; `undefined` is NULL. */
export function cells(body: Buffer): (string | undefined)[] {
  const out: (string | undefined)[] = []
  let at = 2
  for (let index = 0; index < body.readInt16BE(0); index += 1) {
    const length = body.readInt32BE(at)
    at += 4
    out.push(length === -1 ? undefined : body.toString('utf8', at, at + length))
    at += Math.max(length, 0)
  }
  return out
}
