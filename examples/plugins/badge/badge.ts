import { createHmac, timingSafeEqual } from 'node:crypto'
import type { MechanismAnswer, MechanismKind, OptionsSchema, Plugin } from 'bawn'

// A mechanism: whoever shows a badge that our own badge office has signed is who the badge says.
//
//   X-Badge: <base64url of {"id":"bea","roles":["staff"],"exp":1794000000}>.<base64url of its HMAC-SHA-256>
//
// At the PostgreSQL door the same text is typed as the password.

interface BadgeOptions {
  /** Reference to the secret that badges are signed with: 32 characters or more. */
  readonly key: string
  /** In lower case. */
  readonly header: string
}

const known = ['key', 'header']

/** By hand, so that this is one file without a dependency; a schema of zod, valibot or arktype would do as well. */
const options: OptionsSchema<BadgeOptions> = {
  '~standard': {
    version: 1,
    vendor: 'badge',
    validate(value) {
      if (typeof value !== 'object' || value === null) return { issues: [{ message: 'must be a set of keys' }] }
      const { key, header = 'X-Badge' }: { key?: unknown; header?: unknown } = value
      const issues = Object.keys(value)
        .filter(name => !known.includes(name))
        .map(name => ({ message: `there is no such option: known are ${known.join(', ')}`, path: [name] }))
      if (typeof key !== 'string' || !/^(env|file):./.test(key)) {
        issues.push({ message: 'must be env:NAME or file:path', path: ['key'] })
      }
      if (typeof header !== 'string' || !/^[A-Za-z0-9-]{1,64}$/.test(header)) {
        issues.push({ message: 'must be the name of a header', path: ['header'] })
      }
      if (issues.length > 0 || typeof key !== 'string' || typeof header !== 'string') return { issues }
      return { value: { key, header: header.toLowerCase() } }
    },
  },
}

const maxBadgeCharacters = 2_048

/** What a badge proves at this instant. Its text is looked at only after its signature is good. */
export function readBadge(text: string, key: string, now: number): MechanismAnswer {
  const [payload = '', signature = '', ...more] = text.split('.')
  if (text.length > maxBadgeCharacters || payload === '' || signature === '' || more.length > 0) {
    return { kind: 'rejected', reason: 'malformed' }
  }
  const expected = createHmac('sha256', key).update(payload).digest()
  const given = Buffer.from(signature, 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    return { kind: 'rejected', reason: 'untrusted' }
  }
  // From here on it is what the office has written; the gateway checks id, roles and end once more.
  const { id, roles, exp } = JSON.parse(Buffer.from(payload, 'base64url').toString())
  if (now >= exp * 1000) return { kind: 'rejected', reason: 'expired', claimedName: id }
  return { kind: 'identified', identity: { id, roles, expiresAt: exp * 1000 } }
}

const badge: MechanismKind<BadgeOptions> = {
  kind: 'badge',
  doors: ['http', 'postgres'],
  options,
  // The header reaches no upstream.
  carries: ({ header }) => ({ headers: [header] }),
  create({ key: reference, header }, { secret, log }) {
    const key = secret(reference)
    if (key.length < 32) {
      // What is thrown stops the start, and its words are kept out of every log, for nobody knows what they quote.
      log('error', `the secret behind ${reference} has less than 32 characters`)
      throw new Error('short key')
    }
    return {
      http: {
        authenticate(credentials) {
          const [text, second] = credentials.header(header)
          if (text === undefined) return { kind: 'absent' }
          return second === undefined
            ? readBadge(text, key, credentials.now)
            : { kind: 'rejected', reason: 'malformed' }
        },
        challenge: () => 'Badge realm="bawn"',
      },
      postgres: {
        authenticate: ({ password, now }) => readBadge(password, key, now),
      },
    }
  },
}

const plugin: Plugin = { name: 'badge', api: 1, mechanisms: [badge] }
export default plugin
