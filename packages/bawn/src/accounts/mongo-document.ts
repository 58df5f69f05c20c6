import { parseJsonPath } from '../json-path.ts'
import { CredentialVersion } from './credential-version.ts'
import type { StoreOptionsOf } from './option.ts'
import { parseScramVerifier } from './scram-verifier.ts'
import { AccountError, isRoleName, type StoredAccount } from './store.ts'
import { type PasswordVerifier, parseVerifier, verifiersText } from './verifier.ts'

// Documents of a collection that somebody else may have made, as RESTHeart does, and the accounts that they are.

/** Where in a document an account stands. */
export interface DocumentShape {
  /** Steps to the name. */
  readonly id: readonly string[]
  readonly password: string
  readonly locked: string
  readonly scram: string
  /** Steps to the roles; `*` stands for every element of an array. */
  readonly roles: readonly string[]
  /** A password that is no hash is the password itself. */
  readonly clear: boolean
}

export function documentShape(
  options: Pick<
    StoreOptionsOf<'mongo'>,
    | 'property_id'
    | 'property_password'
    | 'property_locked'
    | 'property_scram'
    | 'json_path_roles'
    | 'insecure_clear_passwords'
  >,
): DocumentShape {
  const roles = parseJsonPath(options.json_path_roles)
  if (roles.kind === 'fault') throw new TypeError(`json_path_roles: ${roles.fault}`)
  return {
    id: options.property_id.split('.'),
    password: options.property_password,
    locked: options.property_locked,
    scram: options.property_scram,
    roles: roles.path,
    clear: options.insecure_clear_passwords,
  }
}

/** The members at the root that an account is in: the rest of a document is not asked for. */
export function projectionOf({ id, password, locked, scram, roles }: DocumentShape): Readonly<Record<string, 0 | 1>> {
  const roots = [id[0], password, locked, scram, roles[0]].filter(root => root !== undefined)
  return { _id: 0, ...Object.fromEntries(roots.map(root => [root, 1] as const)) }
}

/** The name of a document's account; `undefined` where it is no text, as in an array that the database also looks into. */
export function nameOf(shape: DocumentShape, document: unknown): string | undefined {
  const name = memberAt(document, shape.id)
  return typeof name === 'string' ? name : undefined
}

/**
 * Reads a document.
 *
 * @param store its name
 * @returns roles that are no text or no name of a role are left out, as they can be in no rule
 * @throws {AccountError} `accounts.unavailable` for one that cannot be read, which is not an account that is missing: a hash of an
 *   unknown kind, roles that are no list, a lock that is neither true nor false
 */
export function parseDocument(store: string, shape: DocumentShape, document: unknown): StoredAccount {
  const damaged = (what: string): AccountError =>
    new AccountError('accounts.unavailable', `account store ${store} has a document whose ${what} cannot be read`)
  const name = nameOf(shape, document)
  if (name === undefined) throw damaged('name')
  const roles = rolesAt(document, shape.roles)
  if (roles === undefined) throw damaged('list of roles')
  const locked = memberAt(document, [shape.locked]) ?? false
  if (typeof locked !== 'boolean') throw damaged('lock')
  const scramText = memberAt(document, [shape.scram]) ?? undefined
  const scram = typeof scramText === 'string' ? parseScramVerifier(scramText) : undefined
  if (scram === undefined && scramText !== undefined) throw damaged('SCRAM verifier')
  const text = memberAt(document, [shape.password]) ?? undefined
  const password = parsePassword(text, shape.clear)
  if (password === undefined && text !== undefined) throw damaged('password')
  // Somebody else may change it: which password it is, only the hash says. One that is made anew is another, then.
  const credential = new CredentialVersion(verifiersText({ scram, password }))
  const times = { createdAt: undefined, passwordChangedAt: undefined }
  return { name, roles, granted: roles, scram, password, credential, locked, ...times }
}

function parsePassword(text: unknown, clear: boolean): PasswordVerifier | undefined {
  if (typeof text !== 'string') return undefined
  const verifier = parseVerifier(text)
  if (verifier !== undefined || !clear) return verifier
  return { kind: 'plain', password: text }
}

/** A member and nothing inherited; `undefined` where the way to it is not of objects. */
function memberAt(value: unknown, path: readonly string[]): unknown {
  let at = value
  for (const step of path) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, step)) return undefined
    at = Object.getOwnPropertyDescriptor(at, step)?.value
  }
  return at
}

/** `undefined`: there is something, and it is no list. What is not there is no roles. */
function rolesAt(document: unknown, path: readonly string[]): readonly string[] | undefined {
  const found = valuesAt(document, path)
  if (found === undefined) return undefined
  const names = found.filter(role => typeof role === 'string').filter(isRoleName)
  return [...new Set(names)].sort()
}

function valuesAt(value: unknown, path: readonly string[]): readonly unknown[] | undefined {
  const star = path.indexOf('*')
  const list = memberAt(value, star < 0 ? path : path.slice(0, star)) ?? []
  if (!Array.isArray(list)) return undefined
  if (star < 0) return list
  const rest = path.slice(star + 1)
  if (rest.length === 0) return list
  if (rest.includes('*')) {
    const all = list.map(item => valuesAt(item, rest))
    return all.some(values => values === undefined) ? undefined : all.flatMap(values => values ?? [])
  }
  return list.map(item => memberAt(item, rest))
}

/**
 * The path to the roles as an update names it.
 *
 * @throws {AccountError} `accounts.read_only` where roles are read by a path that cannot be written
 */
export function writableRoles(store: string, { roles }: DocumentShape): string {
  if (roles.some(step => step === '*' || step === '' || step.startsWith('$') || /[.\0]/.test(step))) {
    throw new AccountError('accounts.read_only', `account store ${store} reads roles at a path that cannot be written`)
  }
  return roles.join('.')
}

/** A document with values at paths as `writableRoles` gives them. No two paths begin with the same whole path. */
export function documentOf(values: readonly (readonly [path: string, value: unknown])[]): Record<string, unknown> {
  const document: Record<string, unknown> = {}
  for (const [path, value] of values) {
    const steps = path.split('.')
    const last = steps.pop() ?? path
    let at = document
    for (const step of steps) {
      const inner = Object.hasOwn(at, step) ? at[step] : undefined
      const next: Record<string, unknown> = isRecord(inner) ? inner : {}
      define(at, step, next)
      at = next
    }
    define(at, last, value)
  }
  return document
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** As a member, whatever it is called: an assignment to `__proto__` makes none. */
function define(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
}
