import type { Duplex } from 'node:stream'
import { checkServerIdentity } from 'node:tls'
import pg from 'pg'
import type { FetchedPassword } from './password-command.ts'

/** A PostgreSQL server, and the gateway's own credential there. */
export interface DatabaseLogin {
  readonly host: string
  readonly port: number
  readonly database: string
  /** `undefined`: without TLS, for a server on the same machine. */
  readonly tls: DatabaseLoginTls | undefined
  readonly user: string
  /** Asked for at each login: it may have changed since. `undefined`: the certificate has to do. */
  readonly password: string | undefined
  /** In place of `password`: one that a program prints. */
  readonly fetched?: FetchedPassword | undefined
  /** Until it is connected and logged in. */
  readonly connectTimeoutMs: number
}

/** TLS towards a database: verify-full. */
export interface DatabaseLoginTls {
  /** PEM, instead of the system's authorities. */
  readonly ca: string | undefined
  /** Name that its certificate must have; `undefined`: host. */
  readonly serverName: string | undefined
  /** PEM texts of the gateway's own certificate, for a server that asks for one. */
  readonly client?: { readonly certificate: string; readonly key: string } | undefined
  /** `require`: a login without SCRAM-SHA-256-PLUS is none. */
  readonly channelBinding?: 'prefer' | 'require'
  /** TLS from the first byte, without SSLRequest (PostgreSQL 17). */
  readonly direct?: boolean
}

/** The driver names the dialled host to the server, whatever `servername` says; who it must be is checked here. */
function identityOf(serverName: string | undefined): pg.ClientConfig['ssl'] & object {
  if (serverName === undefined) return {}
  return {
    servername: serverName,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
  }
}

/**
 * node-postgres for the gateway's own connections, off the hot path. TLS is verify-full; whoever answers in the server's place is handed
 * neither the password nor its MD5.
 *
 * @param refused makes the error of a server that asks for what it is not given
 * @param beforePassword looks at the server's side of TLS before the password is handed over; a rejection ends the login
 * @returns a class, as a pool takes it; what it is made with comes on top of the login
 */
export function databaseClient(
  login: DatabaseLogin,
  refused: (what: string) => Error,
  beforePassword?: (stream: Duplex) => Promise<void>,
): new (
  more?: pg.ClientConfig,
) => pg.Client {
  const { host, port, database, tls, user, connectTimeoutMs } = login
  const mustBind = tls?.channelBinding === 'require'
  return class extends pg.Client {
    constructor(more: pg.ClientConfig = {}) {
      let unwanted: string | undefined
      let bound = false
      let given: string | undefined
      super({
        ...more,
        ...{ host, port, database, user },
        // Asked for when the server has said how it wants it.
        password: async () => {
          await beforePassword?.(this.connection.stream)
          if (unwanted === undefined) given = login.fetched === undefined ? login.password : await login.fetched.get()
          if (unwanted === undefined && given !== undefined) return given
          throw refused(unwanted ?? 'a password, and there is none')
        },
        connectionTimeoutMillis: connectTimeoutMs,
        ssl:
          tls === undefined
            ? false
            : {
                rejectUnauthorized: true,
                ...(tls.ca === undefined ? {} : { ca: tls.ca }),
                ...(tls.client === undefined ? {} : { cert: tls.client.certificate, key: tls.client.key }),
                ...identityOf(tls.serverName),
              },
        sslnegotiation: tls?.direct === true ? 'direct' : 'postgres',
        enableChannelBinding: mustBind,
      })
      const { connection } = this
      connection.once('errorMessage', (error: unknown) => {
        const isRefusal = error instanceof Error && 'code' in error && String(error.code).startsWith('28')
        if (isRefusal && given !== undefined) login.fetched?.refuse(given)
      })
      connection.once('authenticationMD5Password', () => {
        unwanted = 'md5'
      })
      connection.once('authenticationCleartextPassword', () => {
        if (tls === undefined) unwanted = 'the password in clear without TLS'
        else if (mustBind) unwanted = unbound
      })
      connection.once('authenticationSASL', (message: unknown) => {
        // The driver takes PLUS where it is offered.
        bound = offersBinding(message)
        if (mustBind && !bound) unwanted = unbound
      })
      connection.once('authenticationOk', () => {
        if (mustBind && !bound) connection.emit('error', refused(unbound))
      })
    }
  }
}

const unbound = 'a login without channel binding'

function offersBinding(message: unknown): boolean {
  if (typeof message !== 'object' || message === null || !('mechanisms' in message)) return false
  return Array.isArray(message.mechanisms) && message.mechanisms.includes('SCRAM-SHA-256-PLUS')
}
