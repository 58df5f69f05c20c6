import type { Identity } from '../authn/identity.ts'
import { unicodeEscape } from './line.ts'

/** What the access log says of a request. Header values and targets are Latin-1, as they came. */
export interface RequestAccess {
  readonly requestId: string
  readonly address: string
  readonly identity: Identity | undefined
  readonly method: string
  /** As it came, with its query. */
  readonly target: string
  /** Pattern of the route, or `none`. */
  readonly route: string
  readonly httpVersion: string
  readonly host: string | undefined
  readonly referer: string | undefined
  readonly userAgent: string | undefined
  /** 499: the client left before there was one. */
  readonly status: number
  /** Of the answer's body, as it was given to the connection. */
  readonly bytes: number
  readonly durationMs: number
  /** False where the answer was cut. */
  readonly isComplete: boolean
  /** Names of parameters where mechanisms look for credentials: their values are not written. */
  readonly carriers: ReadonlySet<string>
}

/** What it says of a session of PostgreSQL when that ends, or of a login that came to nothing. */
export interface SessionAccess {
  readonly requestId: string
  readonly address: string
  readonly identity: Identity | undefined
  readonly database: string
  readonly applicationName: string
  readonly durationMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Why nobody got in; `undefined`: it was a session. */
  readonly code: string | undefined
}

/** One line each, with its line feed, in ASCII: whatever a caller writes, it is one line, and no control character of a terminal. */
export interface AccessFormat {
  request(access: RequestAccess, now: number): string
  session(access: SessionAccess, now: number): string
}

/** Parameters that usually carry a credential, or a key to one; in small letters. */
const usualSecrets = [
  ...['access_token', 'id_token', 'refresh_token', 'token', 'auth', 'authorization', 'jwt', 'bearer', 'assertion'],
  ...['client_assertion', 'client_secret', 'code', 'code_verifier', 'state', 'nonce', 'id_token_hint', 'logout_token'],
  ...['samlresponse', 'samlrequest', 'ticket', 'session', 'sessionid', 'sid', 'api_key', 'api-key', 'apikey', 'key'],
  ...['password', 'passwd', 'pwd', 'secret', 'otp', 'pin', 'signature', 'sig', 'x-amz-signature', 'x-amz-credential'],
  ...['x-amz-security-token', 'x-goog-signature', 'x-goog-credential', 'awsaccesskeyid', 'x-api-key', 'auth_token'],
]

/** Longer ones are cut: a line must not be as long as whoever asks likes. */
const maxTarget = 2_048
const maxText = 512

/** @param redact names of further parameters whose values are not written, in any case */
export function createAccessFormat(format: 'json' | 'combined', redact: readonly string[]): AccessFormat {
  const secret = new Set([...usualSecrets, ...redact.map(name => name.toLowerCase())])
  return format === 'json' ? jsonFormat(secret) : combinedFormat(secret)
}

function jsonFormat(secret: ReadonlySet<string>): AccessFormat {
  const time = cached(second => new Date(second * 1000).toISOString().slice(0, 19))
  const stamp = (now: number): string => `${time(now)}.${String(now % 1000).padStart(3, '0')}Z`
  const who = (identity: Identity | undefined): string =>
    identity === undefined ? '' : `,"identity":${quoted(identity.id)},"mechanism":${quoted(identity.mechanism)}`
  return {
    request: (access, now) => {
      const { requestId, address, identity, method, route, httpVersion, host, referer, userAgent } = access
      return `{"time":"${stamp(now)}","door":"http","request_id":${quoted(requestId)},"address":${quoted(address)}${who(identity)},"method":${quoted(method)}${host === undefined ? '' : `,"host":${quoted(host)}`},"target":${quoted(redacted(access.target, secret, access.carriers), maxTarget)},"route":${quoted(route)},"protocol":"HTTP/${httpVersion}","status":${access.status},"bytes":${access.bytes},"duration_ms":${access.durationMs.toFixed(3)}${access.isComplete ? '' : ',"complete":false'}${referer === undefined ? '' : `,"referer":${quoted(redacted(referer, secret, access.carriers))}`}${userAgent === undefined ? '' : `,"user_agent":${quoted(userAgent)}`}}\n`
    },
    session: (access, now) => {
      const { requestId, address, identity, database, applicationName, code } = access
      return `{"time":"${stamp(now)}","door":"postgres","request_id":${quoted(requestId)},"address":${quoted(address)}${who(identity)},"database":${quoted(database)},"application_name":${quoted(applicationName)}${code === undefined ? '' : `,"code":${quoted(code)}`},"bytes_in":${access.bytesIn},"bytes_out":${access.bytesOut},"duration_ms":${access.durationMs.toFixed(0)}}\n`
    },
  }
}

/** As Apache and nginx have it under this name; a session is one as well, with the database as its path. */
function combinedFormat(secret: ReadonlySet<string>): AccessFormat {
  const time = cached(second => {
    const [, day, month, year, clock] = new Date(second * 1000).toUTCString().replace(',', '').split(' ')
    return `${day}/${month}/${year}:${clock} +0000`
  })
  const text = (value: string | undefined, max = maxText): string => (value === undefined ? '-' : hexed(value, max))
  // It has no quotes around it: a space would begin the next column.
  const who = (identity: Identity | undefined): string =>
    identity === undefined ? '-' : hexed(utf8(identity.id)).replaceAll(' ', '\\x20')
  return {
    request: (access, now) =>
      `${text(access.address)} - ${who(access.identity)} [${time(now)}] "${text(access.method)} ${text(redacted(access.target, secret, access.carriers), maxTarget)} HTTP/${access.httpVersion}" ${access.status} ${access.bytes} "${text(access.referer && redacted(access.referer, secret, access.carriers))}" "${text(access.userAgent)}"\n`,
    session: (access, now) =>
      `${text(access.address)} - ${who(access.identity)} [${time(now)}] "CONNECT /${text(utf8(access.database))} PostgreSQL" ${access.code === undefined ? 200 : 403} ${access.bytesOut} "-" "${text(utf8(access.applicationName))}"\n`,
  }
}

/** @param make for whole seconds since 1970 */
function cached(make: (second: number) => string): (now: number) => string {
  let last = -1
  let made = ''
  return now => {
    const second = Math.floor(now / 1000)
    if (second !== last) {
      last = second
      made = make(second)
    }
    return made
  }
}

const plain = /^[ !#-[\]-~]*$/

/** A string of JSON in ASCII; also what a terminal would act upon is escaped. */
function quoted(text: string, max = maxText): string {
  const cut = text.length > max ? `${text.slice(0, max)}...` : text
  if (plain.test(cut)) return `"${cut}"`
  return `"${cut.replace(/["\\]|[^ -~]/g, one => (one === '"' || one === '\\' ? `\\${one}` : unicodeEscape(one)))}"`
}

/** As Apache and nginx write what is not plain: `\xHH` for each byte. @param text Latin-1 */
function hexed(text: string, max = maxText): string {
  const cut = text.length > max ? `${text.slice(0, max)}...` : text
  if (plain.test(cut)) return cut
  return cut.replace(
    /["\\]|[^ -~]/g,
    one => `\\x${(one.charCodeAt(0) & 0xff).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

const utf8 = (text: string): string => (plain.test(text) ? text : Buffer.from(text).toString('latin1'))

/** Without the values of parameters that may be secret, and without a name and password before the host. */
function redacted(target: string, secret: ReadonlySet<string>, carriers: ReadonlySet<string>): string {
  const text = target.startsWith('/')
    ? target
    : target.replace(/^[^/?#]*\/\/[^/]*@/, whole => `${schemeOf(whole)}//***@`)
  const mark = text.search(/[?#]/)
  const before = mark === -1 ? text : text.slice(0, mark)
  const path = before.includes('@') ? before.replace(/\/\/[^/]*@/, '//***@') : before
  if (mark === -1) return path
  // `user[pin]` is a parameter to some servers, and one with members to others.
  const isSecret = (name: string): boolean => {
    const known = nameOf(name)
    return (
      carriers.has(known) ||
      known
        .toLowerCase()
        .split(/[[\]]/)
        .some(part => secret.has(part))
    )
  }
  return `${path}${withoutSecrets(text.slice(mark), isSecret, true)}`
}

const schemeOf = (text: string): string => text.slice(0, text.indexOf('//'))

/** Some servers divide at a semicolon too, pages put tokens behind #, and a value may be an address with parameters of its own. */
function withoutSecrets(text: string, isSecret: (name: string) => boolean, looksInside: boolean): string {
  const begin = /[?&;#]([^?&;#=]*)=/g
  let shown = ''
  let copied = 0
  for (let found = begin.exec(text); found !== null; found = begin.exec(text)) {
    const from = begin.lastIndex
    const isKnown = isSecret(found[1] ?? '')
    const end = endOf(text, from, isKnown ? /[&;#]/g : /[?&;#]/g)
    if (!isKnown && !(looksInside && hidesSecret(text.slice(from, end), isSecret))) continue
    shown += `${text.slice(copied, from)}***`
    copied = end
    begin.lastIndex = end
  }
  return shown + text.slice(copied)
}

function endOf(text: string, from: number, delimiter: RegExp): number {
  delimiter.lastIndex = from
  return delimiter.exec(text)?.index ?? text.length
}

const encodedEquals = /%(?:25)*3d/i
/** How often an address in an address is encoded; what is encoded more often is not written. */
const maxEncoded = 3

function hidesSecret(value: string, isSecret: (name: string) => boolean): boolean {
  let text = value
  for (let times = 0; encodedEquals.test(text); times++) {
    const decoded = times === maxEncoded ? text : nameOf(text)
    if (decoded === text) return true
    text = `?${decoded}`
    if (withoutSecrets(text, isSecret, false) !== text) return true
  }
  return false
}

function nameOf(text: string): string {
  if (!/[%+]/.test(text)) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' ')).trim()
  } catch {
    return text
  }
}
