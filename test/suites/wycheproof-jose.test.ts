import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type DecryptionKey, isKeyFor, parseDecryptionKey } from '../../packages/bawn/src/authn/decryption-key.ts'
import { AuthnError } from '../../packages/bawn/src/authn/error.ts'
import {
  issuerOptions,
  type SecretAlgorithm,
  secretAlgorithms,
  signatureAlgorithms,
} from '../../packages/bawn/src/authn/issuer-option.ts'
import { parseCompactJwe } from '../../packages/bawn/src/authn/jwe.ts'
import { parseKeySet, type VerificationKey } from '../../packages/bawn/src/authn/jwk.ts'
import { isSignatureOf, parseCompactJws } from '../../packages/bawn/src/authn/jws.ts'
import { createSecretKeySet } from '../../packages/bawn/src/authn/shared-secret.ts'
import { loadJweDecryption } from '../../packages/bawn/src/authn/token-decryption.ts'

// The vectors of C2SP/wycheproof for JWS, JWE and JWK against our verifier and our decryption. They are not in this repository:
// BAWN_WYCHEPROOF names the folder that has them (testvectors_v1 of that project). Every vector is looked at: every "invalid" has to be
// refused, and every "valid" accepted, but those listed here, each with its reason.
const folder = process.env['BAWN_WYCHEPROOF']

type Jwk = Readonly<Record<string, unknown>>
interface Group {
  readonly comment: string
  readonly public?: Jwk
  readonly private?: Jwk
  readonly tests: readonly {
    readonly tcId: number
    readonly comment: string
    readonly jws?: unknown
    readonly jwe?: unknown
    readonly pt?: string
    readonly result: string
  }[]
}

const pkcs1 = 'RSA1_5: padding that can be asked about'
/** Valid ones that we refuse on purpose, by file and number. */
const refusedOnPurpose: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  'json_web_signature_test.json': {
    346: 'the key says alg PS256, the token PS384',
    350: 'the key says alg PS256, the token PS384',
    347: 'the key says alg ES521, which does not exist',
    351: 'the key says alg ES521, which does not exist',
    372: 'a character that is not base64url',
    373: 'a character that is not base64url',
  },
  'json_web_encryption_test.json': {
    100: pkcs1,
    101: pkcs1,
    102: pkcs1,
    103: pkcs1,
    104: pkcs1,
    105: pkcs1,
    112: pkcs1,
    128: pkcs1,
    135: 'zip: what it unpacks to has no limit that the sender keeps',
  },
}

/** "Invalid" ones that are byte for byte the "valid" one of the number behind: the padding that they are about is not in the file. */
const sameAsValid: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  'json_web_signature_test.json': { 367: 357, 370: 357 },
}

const keysOf = (set: Jwk): readonly Jwk[] => (Array.isArray(set['keys']) ? set['keys'] : [set])

/** Public keys as `jwks` reads them; shared ones as an operator would write them under `secret`, which has algorithms and no names. */
function verificationKeys(group: Group): readonly VerificationKey[] {
  const jwks = keysOf(group.public ?? group.private ?? {})
  if (jwks.some(jwk => jwk['kty'] !== 'oct')) {
    const set = parseKeySet(Buffer.from(JSON.stringify({ keys: jwks })))
    return set.kind === 'keys' ? set.keys : []
  }
  // What is no key for HMAC, or two of one name, nobody can write there.
  const algorithms = jwks.map(({ alg }) => secretAlgorithms.find(known => known === alg))
  const isSound = (found: SecretAlgorithm | undefined): found is SecretAlgorithm => found !== undefined
  if (!algorithms.every(isSound) || new Set(jwks.map(({ kid }) => kid)).size < jwks.length) return []
  const [secret, ...former] = jwks.map((_, index) => `env:K${index}`)
  const issuer = { issuer: 'i', audience: ['a'], secret, former_secrets: former, algorithms }
  try {
    const set = createSecretKeySet('wycheproof', issuerOptions.parse(issuer), reference =>
      String(jwks[Number(reference.slice(5))]?.['k']),
    )
    return set.current()?.keys ?? []
  } catch (error) {
    assert.ok(error instanceof AuthnError && error.code === 'authn.weak_secret', String(error))
    const isZeros = /^A{43}$/.test(String(jwks[0]?.['k']))
    // No gateway would start with it; its vectors are about base64, and are looked at all the same.
    return isZeros
      ? [{ kid: undefined, fitsAnyName: true, algorithms, key: createSecretKey(Buffer.alloc(32)), size: 0 }]
      : []
  }
}

function isVerified(keys: readonly VerificationKey[], token: unknown): boolean {
  const jws = typeof token === 'string' ? parseCompactJws(token) : undefined
  if (jws === undefined) return false
  const { alg, kid } = jws.header
  const algorithm = signatureAlgorithms.find(name => name === alg)
  const named = keys.filter(key => kid === undefined || key.fitsAnyName || key.kid === kid)
  return algorithm !== undefined && named.some(key => isSignatureOf(key, algorithm, jws))
}

function decryptionKeys(group: Group): readonly DecryptionKey[] {
  return keysOf(group.private ?? {}).flatMap(jwk => {
    try {
      return [parseDecryptionKey(JSON.stringify(jwk), 'wycheproof')]
    } catch (error) {
      assert.ok(error instanceof AuthnError && error.code === 'authn.bad_decryption_key', String(error))
      return []
    }
  })
}

/** What is inside, in hex. */
async function decrypted(keys: readonly DecryptionKey[], token: unknown): Promise<string | undefined> {
  const jwe = typeof token === 'string' ? parseCompactJwe(token) : undefined
  if (jwe?.kind !== 'jwe' || typeof token !== 'string') return undefined
  const decrypt = await loadJweDecryption()
  for (const key of keys.filter(candidate => isKeyFor(candidate, jwe))) {
    const found = await decrypt(token, jwe, key)
    if (found !== undefined) return found.toString('hex')
  }
  return undefined
}

for (const file of [
  'json_web_signature_test.json',
  'json_web_key_test.json',
  'json_web_encryption_test.json',
  'json_web_crypto_test.json',
]) {
  test(file, async () => {
    assert(folder !== undefined, 'BAWN_WYCHEPROOF has to name the folder of the vectors')
    const { testGroups, numberOfTests } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
      readonly testGroups: readonly Group[]
      readonly numberOfTests: number
    }
    const wrong: string[] = []
    let seen = 0
    let accepted = 0
    for (const group of testGroups) {
      const [verifying, decrypting] = [verificationKeys(group), decryptionKeys(group)]
      for (const { tcId, comment, jws, jwe, pt, result } of group.tests) {
        seen++
        assert.ok((jws === undefined) !== (jwe === undefined), `${tcId} is neither a signature nor encrypted`)
        const plaintext = await decrypted(decrypting, jwe)
        const found = jwe === undefined ? isVerified(verifying, jws) : plaintext !== undefined
        const reason = refusedOnPurpose[file]?.[tcId]
        const twin = group.tests.find(other => other.tcId === sameAsValid[file]?.[tcId])
        const isValid = result === 'valid' || (twin?.result === 'valid' && twin.jws === jws)
        if (found) accepted++
        const name = `${tcId} (${group.comment}, ${comment})`
        if (found !== (isValid && reason === undefined)) wrong.push(`${name}: ${found ? 'accepted' : 'refused'}`)
        if (found && pt !== undefined && plaintext !== pt) wrong.push(`${name}: opens to something else`)
        if (reason !== undefined && result !== 'valid') wrong.push(`${name}: it is not valid, and needs no reason`)
      }
    }
    assert.deepEqual(wrong, [])
    assert.equal(seen, numberOfTests)
    assert.ok(accepted > 0)
  })
}
