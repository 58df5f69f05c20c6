import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { GatewayError } from '../error.ts'
import type { SecretReference } from '../option.ts'

/** A secret that cannot be had. */
export class SecretError extends GatewayError<'config.secret'> {}

/** Largest file that a `file:` reference may name, in bytes: a secret is no dump. */
const maxSecretBytes = 65_536

export interface Secret {
  readonly value: string
  /** Something unsafe about where it lies: others can read the file. */
  readonly warning: string | undefined
}

/** The same reference with its path, where it has one, made absolute. */
export function absoluteReference(reference: SecretReference, folder: string): SecretReference {
  return reference.startsWith('file:') ? `file:${resolve(folder, reference.slice(5))}` : reference
}

/** Who else than the owner may do something with the file? */
const othersMode = 0o077

/**
 * Finds the secret behind a reference. One line feed (or CRLF) at its end is not part of it.
 *
 * @param environment where `env:` names are looked up: `process.env`
 * @throws {SecretError} `config.secret`; the message has the reference, never a value
 */
export function resolveSecret(reference: SecretReference, environment: NodeJS.ProcessEnv): Secret {
  if (reference.startsWith('env:')) {
    const value = environment[reference.slice(4)]
    if (value === undefined) throw new SecretError('config.secret', `${reference}: no such environment variable`)
    if (value === '') throw new SecretError('config.secret', `${reference}: the environment variable is empty`)
    return { value, warning: undefined }
  }
  if (!reference.startsWith('file:')) {
    throw new SecretError('config.secret', 'a secret is named by env:NAME or file:path, and this is neither')
  }
  const path = reference.slice(5)
  let text: string
  let mode: number
  try {
    const stat = statSync(path)
    mode = stat.mode
    if (stat.size > maxSecretBytes) {
      throw new SecretError('config.secret', `${reference}: the file has more than ${maxSecretBytes} bytes`)
    }
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof SecretError) throw cause
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    throw new SecretError('config.secret', `${reference}: the file cannot be read (${code})`, { cause })
  }
  const value = text.replace(/\r?\n$/, '')
  if (value === '') throw new SecretError('config.secret', `${reference}: the file is empty`)
  const open = (mode & othersMode) !== 0
  const warning = `UNSAFE: others may read ${path} (mode ${(mode & 0o777).toString(8).padStart(4, '0')}): chmod 600`
  return { value, warning: open ? warning : undefined }
}
