import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { ConfigError } from './config/load.ts'
import type { ServerTls } from './option.ts'

/** PEM texts of a listener's TLS. */
export interface ServerTlsFiles {
  readonly certificate: string
  readonly key: string
  readonly clientCa: string | undefined
  readonly clientCertificate: ServerTls['client_certificate']
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
  try {
    createSecureContext({
      cert: files.certificate,
      key: files.key,
      ...(files.clientCa === undefined ? {} : { ca: files.clientCa }),
    })
  } catch (cause) {
    // OpenSSL's own words ("key values mismatch", "no start line") say which of the three it is and quote nothing of them.
    const why = cause instanceof Error ? cause.message : 'unknown'
    throw new ConfigError('config.invalid', `the TLS files of listener ${name} cannot be used: ${why}`, { cause })
  }
  return files
}

function read(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigError('config.invalid', `listener ${name}: ${path} cannot be read`, { cause })
  }
}
