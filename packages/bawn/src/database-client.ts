import type { Duplex } from 'node:stream'
import { checkServerIdentity } from 'node:tls'
import pg from 'pg'

/** A PostgreSQL server, and the gateway's own credential there. */
export interface DatabaseLogin {
  readonly host: string
  readonly port: number
  readonly database: string
  /** `undefined`: without TLS, for a server on the same machine. */
  readonly tls:
    | {
        /** PEM, instead of the system's authorities. */
        readonly ca: string | undefined
        /** Name that its certificate must have; `undefined`: host. */
        readonly serverName: string | undefined
      }
    | undefined
  readonly user: string
  readonly password: string
  /** Until it is connected and logged in. */
  readonly connectTimeoutMs: number
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
  { host, port, database, tls, user, password, connectTimeoutMs }: DatabaseLogin,
  refused: (what: string) => Error,
  beforePassword?: (stream: Duplex) => Promise<void>,
): new (
  more?: pg.ClientConfig,
) => pg.Client {
  return class extends pg.Client {
    constructor(more: pg.ClientConfig = {}) {
      let unwanted: string | undefined
      super({
        ...more,
        ...{ host, port, database, user },
        // Asked for when the server has said how it wants it.
        password: async () => {
          await beforePassword?.(this.connection.stream)
          if (unwanted === undefined) return password
          throw refused(unwanted)
        },
        connectionTimeoutMillis: connectTimeoutMs,
        ssl:
          tls === undefined
            ? false
            : {
                rejectUnauthorized: true,
                ...(tls.ca === undefined ? {} : { ca: tls.ca }),
                ...identityOf(tls.serverName),
              },
      })
      this.connection.once('authenticationMD5Password', () => {
        unwanted = 'md5'
      })
      this.connection.once('authenticationCleartextPassword', () => {
        if (tls === undefined) unwanted = 'the password in clear without TLS'
      })
    }
  }
}
