// The package's public door. Bodies follow; names, parameters and results stay.
import type { KeyObject } from 'node:crypto'

export { EnvelopeError, type EnvelopeErrorCode } from './error.ts'

export type Curve = 'P-256' | 'P-384' | 'P-521'

/** An EC private key, ready for use. Opaque; nothing of the key shows when it is inspected or logged. Only `importPrivateKey` makes one. */
export interface PrivateKey {
  readonly kind: 'private'
  readonly curve: Curve
}
/** An EC public key, checked to be on its curve. Only `importPublicKey` and `publicKeyOf` make one. */
export interface PublicKey {
  readonly kind: 'public'
  readonly curve: Curve
}
/** A key encryption key of AcraBlocks with its context, derived once. Only `createBlockKey` makes one. */
export interface BlockKey {
  readonly kind: 'block'
}
/** Key of a Secure Cell: bytes, or for repeated use a `KeyObject` (`createSecretKey(bytes)`), which is several times cheaper. */
export type CellKey = Uint8Array | KeyObject

export interface OpeningKeys {
  /** Current first, earlier ones after it. */
  readonly blockKeys: readonly BlockKey[]
  readonly privateKeys: readonly PrivateKey[]
  readonly search?: KeyObject | undefined
  /** What AcraStructs were sealed with (a zone id); block keys carry their own context. */
  readonly context?: Uint8Array | undefined
}
export type ContainerKind = 'acrablock' | 'acrastruct'
export interface ScanLimits {
  /** How many well-formed containers of one value keys are tried on; what comes after them stays as it is. */
  readonly maxCandidates?: number
}
export interface ScanResult {
  readonly value: Buffer
  /** Containers that were replaced by their plaintext. */
  readonly opened: number
  /** Well-formed containers that no key opened. */
  readonly unopened: number
  /** Well-formed containers that were left alone because of `maxCandidates`. */
  readonly skipped: number
}

const stub = (...given: readonly unknown[]): never => {
  throw new Error(`not built yet (${given.length} arguments)`)
}

export const importPrivateKey = (container: Uint8Array): PrivateKey => stub(container)
export const importPublicKey = (container: Uint8Array): PublicKey => stub(container)
export const publicKeyOf = (privateKey: PrivateKey): PublicKey => stub(privateKey)
export const exportPublicKey = (publicKey: PublicKey): Buffer => stub(publicKey)
export const generateKeyPair = (curve: Curve = 'P-256'): { privateKey: Buffer; publicKey: Buffer } => stub(curve)
export const createBlockKey = (kek: Uint8Array, context?: Uint8Array): BlockKey => stub(kek, context)

export const sealCell = (key: CellKey, plaintext: Uint8Array, context?: Uint8Array): Buffer =>
  stub(key, plaintext, context)
export const openCell = (key: CellKey, cell: Uint8Array, context?: Uint8Array): Buffer => stub(key, cell, context)
export const sealCellWithPassphrase = (
  passphrase: string | Uint8Array,
  plaintext: Uint8Array,
  context?: Uint8Array,
): Buffer => stub(passphrase, plaintext, context)
export const openCellWithPassphrase = (
  passphrase: string | Uint8Array,
  cell: Uint8Array,
  context?: Uint8Array,
): Buffer => stub(passphrase, cell, context)
export const sealTokenProtect = (
  key: CellKey,
  plaintext: Uint8Array,
  context?: Uint8Array,
): { token: Buffer; data: Buffer } => stub(key, plaintext, context)
export const openTokenProtect = (key: CellKey, token: Uint8Array, data: Uint8Array, context?: Uint8Array): Buffer =>
  stub(key, token, data, context)
export const sealContextImprint = (key: CellKey, plaintext: Uint8Array, context: Uint8Array): Buffer =>
  stub(key, plaintext, context)
export const openContextImprint = (key: CellKey, data: Uint8Array, context: Uint8Array): Buffer =>
  stub(key, data, context)

export const wrapMessage = (privateKey: PrivateKey, publicKey: PublicKey, message: Uint8Array): Buffer =>
  stub(privateKey, publicKey, message)
export const unwrapMessage = (privateKey: PrivateKey, publicKey: PublicKey, message: Uint8Array): Buffer =>
  stub(privateKey, publicKey, message)
export const signMessage = (privateKey: PrivateKey, message: Uint8Array): Buffer => stub(privateKey, message)
export const verifyMessage = (publicKey: PublicKey, signed: Uint8Array): Buffer => stub(publicKey, signed)

export const sealAcraStruct = (publicKey: PublicKey, plaintext: Uint8Array, context?: Uint8Array): Buffer =>
  stub(publicKey, plaintext, context)
export const openAcraStruct = (
  privateKeys: readonly PrivateKey[],
  container: Uint8Array,
  context?: Uint8Array,
): Buffer => stub(privateKeys, container, context)
export const sealAcraBlock = (key: BlockKey, plaintext: Uint8Array): Buffer => stub(key, plaintext)
export const openAcraBlock = (
  keys: readonly BlockKey[],
  container: Uint8Array,
): { plaintext: Buffer; consumed: number } => stub(keys, container)

export const serialize = (kind: ContainerKind, container: Uint8Array): Buffer => stub(kind, container)
export const parseSerialized = (value: Uint8Array): { kind: ContainerKind; container: Uint8Array } => stub(value)
export const searchHash = (key: KeyObject, plaintext: Uint8Array): Buffer => stub(key, plaintext)
export const openStored = (value: Uint8Array, keys: OpeningKeys): Buffer => stub(value, keys)
export const looksLikeContainer = (value: Uint8Array): boolean => stub(value)
export const scan = (value: Uint8Array, keys: OpeningKeys, limits?: ScanLimits): ScanResult => stub(value, keys, limits)
