import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { DatabaseLogin, DatabaseLoginTls } from './database-client.ts'
import { GatewayError } from './error.ts'
import { type DatabaseTls, type HostPort, type PasswordCommandOptions, parseHostPort } from './option.ts'
import { type FetchedPassword, fetchPassword } from './password-command.ts'

/** Options of a PostgreSQL server, as `databases` and account stores have them. */
export interface ServerOptions {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly tls: DatabaseTls
  readonly login: {
    readonly user: string
    readonly password?: string | undefined
    readonly password_command?: PasswordCommandOptions | undefined
  }
  readonly connect_timeout: number
}

/** Where a server is: `host` and `port`, or several `hosts` of one cluster. */
interface Places {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly hosts?: readonly string[] | undefined
}

/** As `databaseTarget`, for each of the hosts. One of the ways to name them is there: that was checked with the configuration. */
export function databaseTargets(
  name: string,
  { host = '', port = 5432, hosts = [], ...options }: Omit<ServerOptions, 'host' | 'port'> & Places,
  secret: (reference: string) => string,
): readonly [DatabaseLogin, ...DatabaseLogin[]] {
  const [first = { host, port }, ...others] = hosts.map(parseHostPort)
  const { password_command: command } = options.login
  // One for all of them: it is one credential.
  const fetched = command && fetchPassword(name, command, () => performance.now())
  const at = (place: HostPort): DatabaseLogin => databaseTarget(name, { ...options, ...place }, secret, fetched)
  return [at(first), ...others.map(at)]
}

/**
 * Where and how to log in, with every file read and every secret tried: what cannot be had stops the start.
 *
 * @param name of the entry, for errors
 * @param secret what a reference stands for
 * @throws {GatewayError} `config.invalid`, `config.secret`
 */
export function databaseTarget(
  name: string,
  { host, port, database, tls, login, connect_timeout: connectTimeoutMs }: ServerOptions,
  secret: (reference: string) => string,
  fetched: FetchedPassword | undefined = login.password_command &&
    fetchPassword(name, login.password_command, () => performance.now()),
): DatabaseLogin {
  const { user, password } = login
  const first = password === undefined ? undefined : secret(password)
  const changes = password?.startsWith('file:') === true
  return {
    host,
    port,
    database,
    tls: tls === 'off' ? undefined : readTls(name, tls),
    user,
    // Somebody may have written another one since.
    get password() {
      return password === undefined || !changes ? first : readAgain(name, password, secret)
    },
    fetched,
    connectTimeoutMs,
  }
}

/** What a client would be told of a secret that cannot be read any more is for the operator alone. */
function readAgain(name: string, reference: string, secret: (reference: string) => string): string {
  try {
    return secret(reference)
  } catch (cause) {
    throw new GatewayError('postgres.upstream_login', `the credential of ${name} cannot be read`, { cause })
  }
}

function readTls(name: string, tls: Exclude<DatabaseTls, 'off'>): DatabaseLoginTls {
  const { ca, certificate, key } = tls
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8')
    } catch (cause) {
      throw new GatewayError('config.invalid', `${name}: ${path} cannot be read`, { cause })
    }
  }
  const authorities = ca === undefined ? undefined : read(ca)
  const client =
    certificate === undefined || key === undefined ? undefined : { certificate: read(certificate), key: read(key) }
  try {
    createSecureContext({
      ...(authorities === undefined ? {} : { ca: authorities }),
      ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
    })
  } catch (cause) {
    // OpenSSL's own words say which of them it is and quote nothing of them.
    const why = cause instanceof Error ? cause.message : 'unknown'
    throw new GatewayError('config.invalid', `the TLS files of ${name} cannot be used: ${why}`, { cause })
  }
  return {
    ca: authorities,
    serverName: tls.server_name,
    client,
    channelBinding: tls.channel_binding,
    direct: tls.negotiation === 'direct',
  }
}
