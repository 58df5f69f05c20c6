import type { DigestAlgorithm } from '../accounts/digest-verifier.ts'
import type { DigestUser } from './digest.ts'
import { AuthnError } from './error.ts'
import type { DigestOptions } from './option.ts'

const digits: Readonly<Record<DigestAlgorithm, number>> = { 'SHA-256': 64, 'SHA-512-256': 64, MD5: 32 }

/**
 * The users of digest, with the hashes that their references stand for.
 *
 * @param secret what a reference stands for
 * @throws {AuthnError} `authn.bad_digest_user`
 */
export function digestUsers({ users, algorithms }: DigestOptions, secret: (reference: string) => string): DigestUser[] {
  return Object.entries(users).map(([name, user]) => {
    const references = { 'SHA-256': user.ha1_sha256, 'SHA-512-256': user.ha1_sha512_256, MD5: user.ha1_md5 }
    const ha1: Partial<Record<DigestAlgorithm, string>> = {}
    for (const algorithm of algorithms) {
      const reference = references[algorithm]
      if (reference === undefined) continue
      const value = secret(reference).trim().toLowerCase()
      if (!/^[0-9a-f]+$/.test(value) || value.length !== digits[algorithm]) {
        throw new AuthnError(
          'authn.bad_digest_user',
          `${reference}: ${algorithm} of ${name} is not ${digits[algorithm]} hexadecimal digits`,
        )
      }
      ha1[algorithm] = value
    }
    return { name, roles: user.roles, ha1 }
  })
}
