import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { replaceFile } from '../durable-file.ts'
import { AdminError } from './error.ts'

const shape = /^[A-Za-z0-9_-]{43}$/

/** A new token: 32 random bytes, base64url. */
export function createAdminToken(): string {
  return randomBytes(32).toString('base64url')
}

/**
 * Writes a token where only the owner reads it. Atomic: a reader finds the old token or the new one, whole, and a crash leaves one
 * of them.
 *
 * @throws {AdminError} `admin.token_file` when it cannot be written
 */
export function writeAdminToken(path: string, token: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    replaceFile(path, Buffer.from(`${token}\n`), 0o600)
  } catch (cause) {
    throw new AdminError('admin.token_file', `the admin token cannot be written to ${path}`, { cause })
  }
}

/**
 * Reads the token of the running gateway.
 *
 * @throws {AdminError} `admin.token_file` when there is none, or what is there is no token
 */
export function readAdminToken(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trimEnd()
  } catch (cause) {
    throw new AdminError('admin.token_file', `the admin token cannot be read from ${path}`, { cause })
  }
  if (!shape.test(text)) throw new AdminError('admin.token_file', `${path} holds no admin token`)
  return text
}

/** Compares by digest: neither content nor length shows in the time it takes. */
export function createTokenCheck(token: string): (presented: string) => boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const expected = digest(token)
  return presented => timingSafeEqual(digest(presented), expected)
}
