import { isAccountName } from './store.ts'
import { badFile, decodeText, type UserEntry } from './user-entry.ts'
import { parseVerifier } from './verifier.ts'

const maxBytes = 4_194_304

/**
 * Reads Apache's htpasswd: `name:hash` a line, `#` begins a comment. Hashes may be bcrypt, `$apr1$`, `{SHA}`, and our own.
 *
 * @param path for messages
 * @param roles what everybody in it has: the format knows none
 * @throws {AccountError} `accounts.bad_file` with the line: a bad one is never passed over, for it may be the one that was to lock
 *   somebody out
 */
export function parseHtpasswd(path: string, bytes: Uint8Array, roles: readonly string[]): readonly UserEntry[] {
  const entries = new Map<string, UserEntry>()
  for (const [index, text] of decodeText(path, bytes, maxBytes).split('\n').entries()) {
    const line = text.replace(/\r$/, '')
    if (/^\s*(#|$)/.test(line)) continue
    const bad = (what: string) => badFile(path, index + 1, what)
    const colon = line.indexOf(':')
    if (colon < 0) throw bad('not name:hash')
    const name = line.slice(0, colon)
    if (!isAccountName(name)) throw bad('the name cannot be used')
    if (entries.has(name)) throw bad('this name stands here twice')
    // Apache reads to the next colon too.
    const password = parseVerifier((line.slice(colon + 1).split(':')[0] ?? '').trim())
    if (password === undefined) {
      throw bad('the hash is none of bcrypt ($2y$, cost at most 15), $apr1$, {SHA}, $argon2id$ and $pbkdf2-sha512$')
    }
    entries.set(name, { name, password, roles })
  }
  return [...entries.values()]
}
