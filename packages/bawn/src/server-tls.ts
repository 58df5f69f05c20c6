import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { parseAuthorities } from './authn/revocation/chain.ts'
import { createRevocationCheck, type RevocationCheck } from './authn/revocation/revocation-check.ts'
import { ConfigError } from './config/load.ts'
import type { RevocationOptions, ServerTls } from './option.ts'
import type { LogEntry } from './postgres/state.ts'
import { chooseByServerName, type ServerNames } from './server-names.ts'

/** PEM texts of a listener's TLS. */
export interface ServerTlsFiles {
  readonly certificate: string
  readonly key: string
  readonly clientCa: string | undefined
  readonly clientCertificate: ServerTls['client_certificate']
  /** `undefined`: everybody is shown the same. */
  readonly serverNames: ServerNames | undefined
}

/** What looking certificates up needs. */
export interface RevocationSurroundings {
  /** Milliseconds since 1970. */
  readonly clock: () => number
  readonly log: (entry: LogEntry) => void
}

/** A listener's TLS as its door takes it. */
export interface ListenerTls extends ServerTlsFiles {
  /** Whether clients' certificates were revoked; `undefined`: nobody is asked. */
  readonly revocation: RevocationCheck | undefined
}

/** Reads the files of a listener, and prepares looking its clients' certificates up. @throws {ConfigError} `config.invalid` */
export function openListenerTls(name: string, tls: ServerTls, surroundings: RevocationSurroundings): ListenerTls {
  const files = readServerTls(name, tls)
  const { revocation, client_certificate: asked } = tls
  if (revocation === undefined || asked === 'off') return { ...files, revocation: undefined }
  return {
    ...files,
    revocation: composeRevocation(`listener ${name}`, revocation, [files.clientCa ?? ''], surroundings),
  }
}

/**
 * @param of what it is for, in the log
 * @param authorities PEM texts of those that TLS believes
 * @throws {AuthnError} `authn.bad_certificate` when one of them cannot be read
 */
export function composeRevocation(
  of: string,
  options: RevocationOptions,
  authorities: readonly string[],
  { clock, log }: RevocationSurroundings,
): RevocationCheck {
  const check = createRevocationCheck(options, parseAuthorities(authorities), {
    fetch,
    clock,
    log: (level, message, cause) => log({ level, message: `${of}: ${message}`, requestId: '-', cause }),
  })
  void check.prime()
  return check
}

/**
 * Reads the files that a listener names and tries them out, so that a wrong one stops the start or the reload and not the first handshake.
 *
 * @param name of the listener, for the error
 * @throws {ConfigError} `config.invalid`
 */
export function readServerTls(name: string, tls: ServerTls): ServerTlsFiles {
  const files = {
    certificate: read(name, tls.certificate),
    key: read(name, tls.key),
    clientCa: tls.client_ca === undefined ? undefined : read(name, tls.client_ca),
    clientCertificate: tls.client_certificate,
  }
  const certificates = tls.certificates.map(({ names, certificate, key }) => ({
    names,
    certificate: read(name, certificate),
    key: read(name, key),
  }))
  try {
    createSecureContext({
      cert: files.certificate,
      key: files.key,
      ...(files.clientCa === undefined ? {} : { ca: files.clientCa }),
    })
    if (certificates.length === 0 && tls.unknown_name === 'default') return { ...files, serverNames: undefined }
    const fallback = new X509Certificate(files.certificate)
    const serverNames: ServerNames = { certificates, unknownName: tls.unknown_name, fallback }
    chooseByServerName(serverNames, files.clientCa)
    return { ...files, serverNames }
  } catch (cause) {
    // OpenSSL's own words ("key values mismatch", "no start line") say which of the three it is and quote nothing of them.
    const why = cause instanceof Error ? cause.message : 'unknown'
    throw new ConfigError('config.invalid', `the TLS files of listener ${name} cannot be used: ${why}`, { cause })
  }
}

function read(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigError('config.invalid', `listener ${name}: ${path} cannot be read`, { cause })
  }
}
