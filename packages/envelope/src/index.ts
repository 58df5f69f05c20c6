// The package's public door: Themis and Acra ciphertext formats on node:crypto alone. Byte tables are in docs/format/envelope.md.
export { type BlockKey, createBlockKey, openAcraBlock, sealAcraBlock } from './acra-block.ts'
export { openAcraStruct, sealAcraStruct } from './acra-struct.ts'
export { openContextImprint, sealContextImprint } from './context-imprint.ts'
export {
  exportPublicKey,
  generateKeyPair,
  importPrivateKey,
  importPublicKey,
  type PrivateKey,
  type PublicKey,
  publicKeyOf,
} from './ec-key.ts'
export { EnvelopeError, type EnvelopeErrorCode } from './error.ts'
export type { Curve } from './key-container.ts'
export { openCellWithPassphrase, sealCellWithPassphrase } from './passphrase-cell.ts'
export { type ScanLimits, type ScanResult, scan } from './scan.ts'
export { searchHash } from './search-hash.ts'
export { type CellKey, openCell, sealCell } from './secure-cell.ts'
export { signMessage, unwrapMessage, verifyMessage, wrapMessage } from './secure-message.ts'
export { type ContainerKind, parseSerialized, serialize } from './serialized.ts'
export { looksLikeContainer, type OpeningKeys, openStored } from './stored.ts'
export { openTokenProtect, sealTokenProtect } from './token-protect.ts'
