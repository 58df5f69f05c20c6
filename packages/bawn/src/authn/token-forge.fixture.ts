import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { exportJWK, type JWK } from 'jose'
import { createJwtMechanism, type JwtMechanism } from './jwt.ts'
import { type IssuerOptions, issuerOptions } from './option.ts'

// Keys of an issuer, and tokens made by hand: whatever header and payload are given, sound or not.

export const issuer = 'https://id.example'
export const now = 1_800_000_000_000
export const seconds = now / 1000

export const pairs = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  p521: generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  ed: generateKeyPairSync('ed25519'),
  ed448: generateKeyPairSync('ed448'),
  stranger: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
}
export type PairName = keyof typeof pairs

export const jwkOf = async (name: PairName, more: object = {}): Promise<JWK> => ({
  ...(await exportJWK(pairs[name].publicKey)),
  kid: name,
  ...more,
})
export const allKeys = {
  keys: await Promise.all((['rsa', 'p256', 'p384', 'p521', 'ed', 'ed448'] as const).map(name => jwkOf(name))),
}
export const allAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

export function issuerWith(more: object = {}): IssuerOptions {
  return issuerOptions.parse({
    issuer,
    audience: ['shop', 'desk'],
    jwks: 'https://id.example/jwks',
    algorithms: allAlgorithms,
    ...more,
  })
}

/** @param secrets what is behind references */
export function mechanismOf(
  issuers: Readonly<Record<string, IssuerOptions>>,
  secrets: Readonly<Record<string, string>> = {},
  keys: object = allKeys,
  clock: () => number = () => now,
): JwtMechanism {
  return createJwtMechanism(issuers, {
    fetch: async () => Response.json(keys),
    clock,
    secret: reference => {
      const value = secrets[reference]
      if (value === undefined) throw new Error(`nothing is behind ${reference}`)
      return value
    },
  })
}

export const part = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
export const claims = { iss: issuer, aud: 'shop', sub: 'alice', exp: seconds + 300, roles: ['support'] }

/** Signs whatever header and payload are given, with P-256. */
export function forge(header: unknown, payload: unknown, key: KeyObject = pairs.p256.privateKey): string {
  const input = `${part(header)}.${part(payload)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
/** A header that fits `forge`. */
export const es = { alg: 'ES256', kid: 'p256' }
export const good = forge(es, claims)

/** Who it is with which roles, or why nobody, in a few words. */
export async function verdict(of: JwtMechanism, token: string): Promise<string> {
  const outcome = await of.authenticate(token)
  if (outcome.kind === 'identified') return `${outcome.identity.id}: ${outcome.identity.roles.join()}`
  return outcome.kind === 'rejected' ? outcome.reason : outcome.kind
}
