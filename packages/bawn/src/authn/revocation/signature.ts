import { constants, type KeyObject, verify } from 'node:crypto'
import { type DerElement, expectTag, readDerElement, readDerElements, readOid, tags } from '../der.ts'
import { AuthnError } from '../error.ts'
import { readAlgorithm, type SignatureAlgorithm } from '../x509.ts'

interface Scheme {
  readonly key: 'rsa' | 'ec' | 'ed25519' | 'ed448'
  readonly hash: string | null
}

// MD5 and SHA-1 are not here: whoever finds two texts of one hash has a list that its authority never signed.
const schemes: Readonly<Record<string, Scheme>> = {
  '1.2.840.113549.1.1.11': { key: 'rsa', hash: 'sha256' },
  '1.2.840.113549.1.1.12': { key: 'rsa', hash: 'sha384' },
  '1.2.840.113549.1.1.13': { key: 'rsa', hash: 'sha512' },
  '1.2.840.10045.4.3.2': { key: 'ec', hash: 'sha256' },
  '1.2.840.10045.4.3.3': { key: 'ec', hash: 'sha384' },
  '1.2.840.10045.4.3.4': { key: 'ec', hash: 'sha512' },
  '1.3.101.112': { key: 'ed25519', hash: null },
  '1.3.101.113': { key: 'ed448', hash: null },
}
const rsaPss = '1.2.840.113549.1.1.10'
const mgf1 = '1.2.840.113549.1.1.8'
const hashes: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}
const minRsaBits = 2048

/**
 * Is this signature the key's? False too for a key of another kind than the algorithm's and for RSA below 2048 bits. Lists are large: it
 * is computed beside the event loop.
 *
 * @throws {AuthnError} `authn.bad_certificate` for an algorithm that is weak or unknown: it is not said whose signature it is
 */
export async function isSignedBy(
  key: KeyObject,
  algorithm: SignatureAlgorithm,
  bytes: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const isPss = algorithm.oid === rsaPss
  const scheme = schemes[algorithm.oid]
  if (!isPss && scheme === undefined) throw unusable(`signature algorithm ${algorithm.oid} is weak or unknown`)
  const kind = key.asymmetricKeyType
  if (isPss ? kind !== 'rsa' && kind !== 'rsa-pss' : kind !== scheme?.key) return false
  if (kind?.startsWith('rsa') && (key.asymmetricKeyDetails?.modulusLength ?? 0) < minRsaBits) return false
  const pss = isPss ? readPss(algorithm.parameters) : undefined
  const how = pss && { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: pss.saltLength }
  return new Promise((resolve, reject) => {
    verify(pss?.hash ?? scheme?.hash ?? null, bytes, { key, ...how }, signature, (error, good) => {
      if (error === null) resolve(good)
      else reject(error)
    })
  })
}

/** RFC 4055 section 3.1. What is left out means SHA-1, which is not taken; both hashes have to be the same one. */
function readPss(parameters: DerElement | undefined): { readonly hash: string; readonly saltLength: number } {
  const fields = new Map(
    readDerElements(expectTag(parameters, tags.sequence).content).map(({ tag, content }) => [tag, content]),
  )
  const [hashField, maskField, saltField] = [fields.get(0xa0), fields.get(0xa1), fields.get(0xa2)]
  if (hashField === undefined || maskField === undefined) throw unusable('RSASSA-PSS with SHA-1')
  const hash = hashes[readAlgorithm(readDerElement(hashField, tags.sequence)).oid]
  const mask = readAlgorithm(readDerElement(maskField, tags.sequence))
  const [maskHash] = readDerElements(expectTag(mask.parameters, tags.sequence).content)
  if (hash === undefined || mask.oid !== mgf1 || hashes[readOid(maskHash)] !== hash) {
    throw unusable('RSASSA-PSS with hashes that are weak, unknown or not the same')
  }
  const salt = saltField === undefined ? Uint8Array.of(20) : readDerElement(saltField, tags.integer).content
  if (salt.length !== 1) throw unusable('RSASSA-PSS with a salt of unusual length')
  return { hash, saltLength: salt[0] ?? 0 }
}

function unusable(detail: string): AuthnError {
  return new AuthnError('authn.bad_certificate', detail)
}
