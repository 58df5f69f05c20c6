import { KeyError } from './error.ts'
import { clientIdName } from './option.ts'

// Names and contexts of Acra keystore v1.

export type KeyKind = 'storage' | 'symmetric' | 'search'
export const keyKinds: readonly KeyKind[] = ['storage', 'symmetric', 'search']

const suffixes = { storage: '_storage', symmetric: '_storage_sym', search: '_hmac' } as const satisfies Record<
  KeyKind,
  string
>

/** Is a context as well as a name: a file copied to another name does not open. */
export const auditKeyFile = 'secure_log_key'

/** What a public key's file has behind the name of its private key's. */
export const publicSuffix = '.pub'
/** What the directory of a file's earlier keys has behind its name. */
export const rotatedSuffix = '.old'

/** @throws {KeyError} `keys.bad_client_id`: a client id becomes a file name, and may come from a client */
export function checkClientId(clientId: string): void {
  if (!clientIdName.safeParse(clientId).success) {
    throw new KeyError('keys.bad_client_id', 'a client id was not 5 to 256 letters, digits, spaces, "_" or "-"')
  }
}

export function keyFileName(clientId: string, kind: KeyKind): string {
  checkClientId(clientId)
  return clientId + suffixes[kind]
}

/** Whose key a file holds, by its name; `undefined` for a file that is none of ours. */
export type KeyFile =
  | { readonly kind: KeyKind; readonly clientId: string }
  | { readonly kind: 'audit' | 'poison-record' | 'poison-record-symmetric'; readonly clientId: undefined }

/** @param path relative to the key directory, with `/`; not a public key's and not within a `.old` directory */
export function parseKeyFileName(path: string): KeyFile | undefined {
  if (path === auditKeyFile) return { kind: 'audit', clientId: undefined }
  if (path === '.poison_key/poison_key') return { kind: 'poison-record', clientId: undefined }
  if (path === '.poison_key/poison_key_sym') return { kind: 'poison-record-symmetric', clientId: undefined }
  // No suffix ends another one, so at most one fits.
  for (const kind of keyKinds) {
    const clientId = path.endsWith(suffixes[kind]) ? path.slice(0, -suffixes[kind].length) : ''
    if (clientIdName.safeParse(clientId).success) return { kind, clientId }
  }
  return undefined
}

/** `client/<id>/storage` and so on: the names that Acra's key tools print. */
export function keyIdOf(file: KeyFile): string {
  switch (file.kind) {
    case 'storage':
    case 'symmetric':
      return `client/${file.clientId}/${file.kind}`
    case 'search':
      return `client/${file.clientId}/searchable`
    case 'audit':
      return 'audit-log'
    case 'poison-record':
    case 'poison-record-symmetric':
      return file.kind
  }
}

const rotatedName = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?$/

/** The names of earlier keys among those in a `.old` directory, newest first. They sort as text, as Acra sorts them. */
export function sortRotated(names: readonly string[]): readonly string[] {
  return names.filter(name => rotatedName.test(name)).sort((a, b) => (a < b ? 1 : a > b ? -1 : 0))
}

/** UTC, to the nanosecond, without trailing zeros of the fraction. @param sequence nanoseconds to add, for one that is taken */
export function rotatedFileName(nowMs: number, sequence: number): string {
  const iso = new Date(nowMs).toISOString()
  const fraction = (iso.slice(20, 23) + String(sequence).padStart(6, '0')).replace(/0+$/, '')
  return iso.slice(0, 19) + (fraction === '' ? '' : `.${fraction}`)
}
