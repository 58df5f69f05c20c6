import type { Privilege } from '../../accounts/grant.ts'
import { lex, type Token } from '../sql/lexer.ts'
import { looksHashed, passwordOf } from './password-literal.ts'
import {
  type AccountReading,
  type AccountStatement,
  type ListName,
  listNames,
  reserved,
  type Somebody,
  type WrittenTarget,
} from './statement.ts'

// The statements about accounts in CrateDB's grammar, over PostgreSQL's lexical rules, and the few spellings of PostgreSQL that mean the
// same. Strict: what is not understood to its last token is refused, and no message quotes the text, for it may hold a password.

const unlimited = {
  tokens: Number.POSITIVE_INFINITY,
  nesting: Number.POSITIVE_INFINITY,
  chain: Number.POSITIVE_INFINITY,
}
/** Longer ones are no statement that somebody wrote. */
const maxTokens = 2_000

/** A text without any of these words is none of ours, and is not looked at. */
const words = /\b(?:grant|deny|revoke|users?|roles?|grants|group|sys)\b/i

/** Thrown inside this file only: where and why a statement is not understood. */
class Misread extends Error {
  readonly hint: string
  readonly offset: number | undefined

  constructor(message: string, hint: string, offset: number | undefined) {
    super(message)
    this.hint = hint
    this.offset = offset
  }
}

const grammar = 'docs/guide/grants-sql.md has the grammar of statements about accounts'

class Reader {
  readonly #text: Uint8Array
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(text: Uint8Array, tokens: readonly Token[]) {
    this.#text = text
    this.#tokens = tokens
  }

  get offset(): number {
    return this.#tokens[this.#at]?.start ?? this.#text.length
  }

  get atEnd(): boolean {
    return this.#at === this.#tokens.length
  }

  #raw(ahead = 0): { readonly kind: Token['kind']; readonly text: string } | undefined {
    const token = this.#tokens[this.#at + ahead]
    if (token === undefined) return undefined
    return { kind: token.kind, text: Buffer.from(this.#text.subarray(token.start, token.end)).toString() }
  }

  /** The word that comes `ahead`, in capitals; empty for anything but an unquoted word. */
  word(ahead = 0): string {
    const token = this.#raw(ahead)
    return token?.kind === 'word' ? token.text.toUpperCase() : ''
  }

  mark(ahead = 0): string {
    const token = this.#raw(ahead)
    return token?.kind === 'mark' || token?.kind === 'operator' ? token.text : ''
  }

  skip(count = 1): void {
    this.#at += count
  }

  take(...words: readonly string[]): boolean {
    if (!words.every((word, index) => this.word(index) === word)) return false
    this.#at += words.length
    return true
  }

  takeMark(mark: string): boolean {
    if (this.mark() !== mark) return false
    this.#at++
    return true
  }

  expect(what: string, taken: boolean): void {
    if (!taken) throw this.fail(`${what} was expected`)
  }

  fail(message: string, hint = grammar): Misread {
    return new Misread(message, hint, this.atEnd ? undefined : this.offset)
  }

  /** A name: folded to small letters unless it is quoted. */
  name(what: string): string {
    const token = this.#raw()
    const isQuoted = token?.kind === 'quoted' && token.text.startsWith('"')
    if (token === undefined || (token.kind !== 'word' && !isQuoted)) throw this.fail(`${what} was expected`)
    if (!isQuoted && reserved.has(token.text.toUpperCase())) {
      throw this.fail(`${what} was expected`, 'A name that is a word of the language has to be in double quotes')
    }
    const name = isQuoted
      ? token.text.slice(1, -1).replaceAll('""', '"')
      : token.text.replace(/[A-Z]+/g, letters => letters.toLowerCase())
    if (name === '') throw this.fail(`${what} is empty`)
    this.#at++
    return name
  }

  names(what: string): readonly string[] {
    const names = [this.name(what)]
    while (this.takeMark(',')) names.push(this.name(what))
    return names
  }

  /** `a.b.c` */
  path(what: string): readonly string[] {
    const path = [this.name(what)]
    while (this.takeMark('.')) path.push(this.name(what))
    return path
  }

  /** A password: a plain string. */
  password(): string {
    const token = this.#raw()
    if (token?.kind === 'parameter') {
      throw this.fail('a password cannot be a parameter here', "Write it as a string: WITH (password = 'secret')")
    }
    const password = token?.kind === 'string' ? passwordOf(token.text) : undefined
    if (password === undefined) {
      throw this.fail('a password was expected', 'Write it as a plain string in single quotes, without E, U& or $$')
    }
    if (looksHashed(password)) {
      throw this.fail(
        'this password is hashed already, and would be taken for the password itself',
        "Send the password itself; psql's \\password and drivers that hash it cannot be used for accounts of the gateway",
      )
    }
    this.#at++
    return password
  }

  end(): void {
    if (!this.atEnd) throw this.fail('the statement goes on where its end was expected')
  }
}

/** `(password = 'x')`, `PASSWORD 'x'`; `undefined` where there is none. @param empty whether NULL takes it away */
function passwordOption(reader: Reader, empty: boolean): { readonly password: string | undefined } | undefined {
  const value = (): { readonly password: string | undefined } => {
    if (empty && reader.take('NULL')) return { password: undefined }
    const password = reader.password()
    if (password === '') throw reader.fail('a password must not be empty')
    return { password }
  }
  if (reader.take('PASSWORD')) return value()
  if (!reader.takeMark('(')) return undefined
  reader.expect('password', reader.take('PASSWORD'))
  reader.expect('=', reader.takeMark('='))
  const found = value()
  reader.expect('")": nothing but the password can be set here', reader.takeMark(')'))
  return found
}

function create(reader: Reader, principal: 'user' | 'role'): AccountStatement {
  const ifNotExists = reader.take('IF', 'NOT', 'EXISTS')
  const name = reader.name('a name')
  const stated = reader.take('WITH')
  const found = passwordOption(reader, false)
  if (stated && found === undefined) throw reader.fail("(password = '…') was expected")
  if (found !== undefined && principal === 'role') {
    throw reader.fail('creating a ROLE with a password is not allowed', 'Nobody logs in as a role: use CREATE USER')
  }
  return { kind: 'create', principal, name, ifNotExists, password: found?.password }
}

function somebody(reader: Reader): Somebody {
  if (reader.take('CURRENT_USER') || reader.take('SESSION_USER')) return 'self'
  return { name: reader.name('a name') }
}

function alter(reader: Reader, principal: 'user' | 'role'): AccountStatement {
  const who = somebody(reader)
  if (principal === 'role') throw reader.fail('a role has no password, and nothing else of it can be altered')
  if (reader.take('RESET')) {
    reader.expect('(password)', reader.takeMark('(') && reader.take('PASSWORD') && reader.takeMark(')'))
    return { kind: 'alter', who, password: undefined }
  }
  if (!reader.take('SET')) reader.take('WITH')
  const found = passwordOption(reader, true)
  if (found === undefined) throw reader.fail("SET (password = '…') was expected: nothing else of a user can be altered")
  return { kind: 'alter', who, password: found.password }
}

function drop(reader: Reader, principal: 'user' | 'role'): AccountStatement {
  const ifExists = reader.take('IF', 'EXISTS')
  const name = reader.name('a name')
  if (reader.mark() === ',') throw reader.fail('one user or role is dropped at a time')
  return { kind: 'drop', principal, name, ifExists }
}

const privilegeWords: { readonly [word: string]: Privilege | undefined } = {
  DQL: 'DQL',
  DML: 'DML',
  DDL: 'DDL',
  AL: 'AL',
}
/** What PostgreSQL calls privileges: no role of ours is meant. */
const foreign = new Set(
  'SELECT INSERT UPDATE DELETE TRUNCATE REFERENCES TRIGGER CREATE CONNECT TEMPORARY TEMP EXECUTE USAGE SET ALTER MAINTAIN'.split(
    ' ',
  ),
)

function targets(reader: Reader): readonly WrittenTarget[] {
  if (!reader.take('ON')) return [{ kind: 'cluster' }]
  if (reader.take('CLUSTER')) return [{ kind: 'cluster' }]
  const kind = ['DATABASE', 'SCHEMA', 'TABLE', 'VIEW'].find(word => reader.word() === word)
  if (kind === undefined) throw reader.fail('CLUSTER, DATABASE, SCHEMA, TABLE or VIEW was expected after ON')
  reader.skip()
  const found = [target(reader, kind)]
  while (reader.takeMark(',')) found.push(target(reader, kind))
  return found
}

function target(reader: Reader, kind: string): WrittenTarget {
  const path = reader.path(`the name of a ${kind.toLowerCase()}`)
  const most = kind === 'DATABASE' ? 1 : kind === 'SCHEMA' ? 2 : 3
  if (path.length > most) throw reader.fail(`the name of a ${kind.toLowerCase()} has ${path.length} parts`)
  const [last = '', schema, database] = [...path].reverse()
  if (kind === 'DATABASE') return { kind: 'database', database: last }
  if (kind === 'SCHEMA') return { kind: 'schema', database: schema, schema: last }
  return { kind: 'table', database, schema, table: last }
}

function grantees(reader: Reader, verb: string): readonly string[] {
  const word = verb === 'REVOKE' ? 'FROM' : 'TO'
  reader.expect(word, reader.take(word))
  const names: string[] = []
  do {
    if (reader.word() === 'PUBLIC') throw reader.fail('PUBLIC is nobody here', 'Grant to users and roles by name')
    names.push(reader.name('the name of a user or role'))
  } while (reader.takeMark(','))
  return names
}

function grant(reader: Reader, verb: 'GRANT' | 'DENY' | 'REVOKE'): AccountStatement {
  const lower = verb === 'GRANT' ? 'grant' : verb === 'DENY' ? 'deny' : 'revoke'
  if (reader.take('ALL')) {
    reader.take('PRIVILEGES')
    const on = targets(reader)
    return { kind: 'privileges', verb: lower, privileges: 'all', targets: on, grantees: grantees(reader, verb) }
  }
  const first = privilegeWords[reader.word()]
  if (first !== undefined) {
    const privileges: Privilege[] = []
    do {
      const privilege = privilegeWords[reader.word()]
      if (privilege === undefined) throw reader.fail('DQL, DML, DDL or AL was expected')
      privileges.push(privilege)
      reader.skip()
    } while (reader.takeMark(','))
    const on = targets(reader)
    return { kind: 'privileges', verb: lower, privileges, targets: on, grantees: grantees(reader, verb) }
  }
  if (foreign.has(reader.word())) {
    throw reader.fail(
      'this is a privilege of PostgreSQL, and here those of the gateway are meant',
      'DQL permits to read, DML to change rows, DDL to make, alter and drop, AL to administer accounts',
    )
  }
  if (lower === 'deny') throw reader.fail('a role cannot be denied', 'Revoke it, or deny its privileges')
  const roles = reader.names('a privilege or the name of a role')
  return { kind: 'roles', verb: lower, roles, grantees: grantees(reader, verb) }
}

function show(reader: Reader): AccountStatement {
  const word = reader.word()
  reader.skip()
  const list: ListName = word === 'USERS' ? 'users' : word === 'ROLES' ? 'roles' : 'privileges'
  const of = list === 'privileges' && reader.take('FOR') ? somebody(reader) : undefined
  return { kind: 'list', list, of, columns: undefined, verb: 'SHOW' }
}

/** `SELECT a, b FROM sys.users`, and nothing more; `undefined` for any other SELECT. */
function select(reader: Reader): AccountStatement | undefined {
  let columns: string[] | undefined
  if (!reader.takeMark('*')) {
    columns = []
    do {
      if (reader.word() === '' || reader.word() === 'FROM') return undefined
      columns.push(reader.name('a column'))
    } while (reader.takeMark(','))
  }
  if (!reader.take('FROM', 'SYS') || !reader.takeMark('.')) return undefined
  const list = listNames.find(name => name.toUpperCase() === reader.word())
  if (list === undefined) return undefined
  reader.skip()
  return reader.atEnd ? { kind: 'list', list, of: undefined, columns, verb: 'SELECT' } : undefined
}

/** Which statement about accounts begins here; `undefined` for none. */
function beginning(reader: Reader): Begins | undefined {
  const first = reader.word()
  if (first === 'GRANT' || first === 'DENY' || first === 'REVOKE') return rest => grant(rest, first)
  if (first === 'SHOW') return ['USERS', 'ROLES', 'GRANTS'].includes(reader.word(1)) ? show : undefined
  if (first !== 'CREATE' && first !== 'ALTER' && first !== 'DROP') return undefined
  const second = reader.word(1)
  // CREATE USER MAPPING … is about foreign servers; a user may be called mapping all the same.
  if (second === 'USER' && reader.word(2) === 'MAPPING' && (reader.word(3) === 'FOR' || reader.word(3) === 'IF'))
    return undefined
  const principal = second === 'USER' ? 'user' : second === 'ROLE' ? 'role' : undefined
  if (principal !== undefined) {
    const read = first === 'CREATE' ? create : first === 'ALTER' ? alter : drop
    return rest => {
      rest.skip()
      return read(rest, principal)
    }
  }
  if (second !== 'GROUP') return undefined
  return rest => {
    throw rest.fail('there are no groups', 'Use CREATE ROLE and GRANT role TO user')
  }
}

type Begins = (reader: Reader) => AccountStatement

/** A statement of the text; `begins` where it is one of ours, and the tokens of others only as far as they are needed. */
interface Part {
  readonly tokens: Token[]
  begins: Begins | undefined
}

/** Words that tell what a statement is. */
const deciding = 4
/** `SELECT` of a list of accounts has no more tokens than this. */
const longestSelect = 40

function partsOf(text: Uint8Array): { readonly parts: readonly Part[]; readonly complete: boolean } {
  const parts: Part[] = []
  let part: Part | undefined
  const lexed = lex(text, unlimited, token => {
    if (token.kind === 'mark' && text[token.start] === 59) {
      part = undefined
      return
    }
    if (part === undefined) {
      part = { tokens: [], begins: undefined }
      parts.push(part)
    }
    if (part.tokens.length > (part.begins === undefined ? longestSelect : maxTokens)) return
    part.tokens.push(token)
    if (part.tokens.length <= deciding) part.begins = beginning(new Reader(text, part.tokens))
  })
  return { parts, complete: lexed.kind === 'tokens' }
}

function read(text: Uint8Array): AccountStatement | undefined {
  const { parts, complete } = partsOf(text)
  const account = parts.find(({ begins }) => begins !== undefined)
  const [only] = parts
  if (account?.begins === undefined) {
    if (only === undefined || parts.length > 1 || !complete) return undefined
    const reader = new Reader(text, only.tokens)
    return reader.take('SELECT') ? select(reader) : undefined
  }
  const reader = new Reader(text, account.tokens)
  if (!complete || account.tokens.length > maxTokens) throw reader.fail('the statement does not end, or is too long')
  if (parts.length > 1) {
    throw reader.fail('a statement about accounts stands alone', 'Send it by itself, without others before or after it')
  }
  reader.skip()
  const statement = account.begins(reader)
  reader.end()
  return statement
}

/** Whether a text that was not understood may be about accounts all the same: then nobody may send it on. */
export function mayConcernAccounts(text: Uint8Array): boolean {
  return words.test(Buffer.from(text.buffer, text.byteOffset, text.length).toString('latin1'))
}

/** @returns `undefined` for a text that is no statement about accounts */
export function readAccountStatement(text: Uint8Array): AccountReading | undefined {
  if (!mayConcernAccounts(text)) return undefined
  try {
    const statement = read(text)
    return statement === undefined ? undefined : { kind: 'account', statement }
  } catch (thrown) {
    if (!(thrown instanceof Misread)) throw thrown
    return { kind: 'misread', message: thrown.message, hint: thrown.hint, offset: thrown.offset }
  }
}
