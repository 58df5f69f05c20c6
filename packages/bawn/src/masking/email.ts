import { keepFirst } from './keep-first.ts'
import { hidden, type Mask } from './mask.ts'

// Deliberately narrower than RFC 5321: quoted local parts, address literals, comments and single-label domains are not taken for
// addresses, because what follows an "@" in some other text must not be shown.
const address =
  /^([^\s@"'<>(),;:\\[\]\p{Cc}]{1,64})@((?:[\p{L}\p{N}][\p{L}\p{N}\p{M}-]{0,62}\.)+[\p{L}\p{N}][\p{L}\p{N}\p{M}-]{1,62})$/u
const longestDomain = 253
const longestAddress = 64 + 1 + longestDomain

const firstCharacter = keepFirst(1)

/**
 * `alice@x.com` becomes `a****@x.com`: the first character of the local part and the domain show, the length does not. A local part of
 * one character is hidden, and what is not an address becomes `****`.
 */
export const email: Mask = plaintext => {
  if (plaintext.length > longestAddress) return hidden
  const parts = address.exec(plaintext)
  const [, local, domain] = parts ?? []
  if (local === undefined || domain === undefined || domain.length > longestDomain) return hidden
  return `${firstCharacter(local)}@${domain}`
}
