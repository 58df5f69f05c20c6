import { isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml'
import { isAccountName, isRoleName } from './store.ts'
import { badFile, decodeText, type UserEntry } from './user-entry.ts'
import { parseVerifier } from './verifier.ts'

const maxBytes = 1_048_576

/**
 * Reads RESTHeart's users.yml: under `users`, a list of `userid`, `password` and `roles`. Passwords are in clear there; one that is a
 * hash of a form that we know is taken as that hash. `password: null` keeps a user out. Further keys are left alone.
 *
 * @param path for messages
 * @throws {AccountError} `accounts.bad_file` with the line; a name that stands there twice is one too
 */
export function parseUsersYml(path: string, bytes: Uint8Array): readonly UserEntry[] {
  const lineCounter = new LineCounter()
  const document = readDocument(path, decodeText(path, bytes, maxBytes), lineCounter)
  const bad = (node: unknown, what: string) => {
    const offset = isScalar(node) || isMap(node) || isSeq(node) ? node.range?.[0] : undefined
    return badFile(path, offset === undefined ? 1 : lineCounter.linePos(offset).line, what)
  }
  const fault = document.errors[0]
  if (fault !== undefined) throw badFile(path, lineCounter.linePos(fault.pos[0]).line, 'not valid YAML')
  visit(document, {
    Alias: () => {
      throw badFile(path, 1, 'aliases (*name) are not read here')
    },
  })
  const users = isMap(document.contents) ? document.contents.get('users', true) : undefined
  if (!isSeq(users)) throw bad(document.contents, 'there is no list of users')
  const entries = new Map<string, UserEntry>()
  for (const user of users.items) {
    if (!isMap(user)) throw bad(user, 'a user has userid, password and roles')
    const name = textOf(user.get('userid', true))
    if (name === undefined || !isAccountName(name)) throw bad(user, 'userid is missing or cannot be used')
    if (entries.has(name)) throw bad(user, 'this userid stands here twice')
    const stated: unknown = user.get('password', true)
    const password = textOf(stated)
    if (password === undefined && !(isScalar(stated) && stated.value === null)) {
      throw bad(user, 'password is missing or no text: put it in quotes')
    }
    const list = user.get('roles', true)
    const roles = isSeq(list) ? list.items.map(textOf) : undefined
    if (roles === undefined) throw bad(user, 'roles is missing or no list')
    if (!roles.every(role => role !== undefined && isRoleName(role)))
      throw bad(list, 'one of the roles is no role name')
    entries.set(name, {
      name,
      password:
        password === undefined || password === ''
          ? undefined
          : (parseVerifier(password) ?? { kind: 'plain', password }),
      roles: roles.flatMap(role => role ?? []),
    })
  }
  return [...entries.values()]
}

function readDocument(path: string, text: string, lineCounter: LineCounter) {
  try {
    return parseDocument(text, { schema: 'core', version: '1.2', prettyErrors: false, lineCounter })
  } catch (cause) {
    // Nesting that ends the stack.
    if (cause instanceof RangeError) throw badFile(path, 1, 'the file is nested too deep')
    throw cause
  }
}

const textOf = (node: unknown): string | undefined =>
  isScalar(node) && typeof node.value === 'string' ? node.value : undefined
