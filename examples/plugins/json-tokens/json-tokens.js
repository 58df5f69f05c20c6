// @ts-check
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'

// A token manager, in plain JavaScript: random tokens, kept as digests in a file with one JSON object a line. What a token is, how long it
// lives and how it is compared is the gateway's (`randomTokens`); where it is kept is here.

/**
 * @typedef {import('bawn').TokenRecord} TokenRecord
 * @typedef {{ readonly path: string }} JsonTokenOptions
 */

/** @type {import('bawn').OptionsSchema<JsonTokenOptions>} */
const options = {
  '~standard': {
    version: 1,
    vendor: 'json-tokens',
    validate(value) {
      const { path, ...others } = /** @type {Record<string, unknown>} */ (value)
      const issues = Object.keys(others).map(name => ({ message: 'there is only path', path: [name] }))
      if (typeof path !== 'string' || path === '') issues.push({ message: 'must name a file', path: ['path'] })
      return issues.length > 0 ? { issues } : { value: { path: String(path) } }
    },
  },
}

/**
 * One change. What several processes append is in one order, the same for all: the gateway sees what `bawn tokens revoke` did, and none
 * needs a lock.
 *
 * @typedef {{ readonly add: TokenRecord }
 *   | { readonly extend: string, readonly validUntil: number }
 *   | { readonly remove: string }
 *   | { readonly revoke: string }
 *   | { readonly revokeAll: true }} Change
 */

/**
 * @param {Map<string, TokenRecord>} records
 * @param {Change} change
 */
function apply(records, change) {
  if ('add' in change) records.set(change.add.digest, change.add)
  else if ('remove' in change) records.delete(change.remove)
  else if ('revokeAll' in change) records.clear()
  else if ('revoke' in change) {
    for (const [digest, { subject }] of records) if (subject.id === change.revoke) records.delete(digest)
  } else {
    const record = records.get(change.extend)
    // One that was revoked meanwhile stays gone.
    if (record !== undefined) records.set(change.extend, { ...record, validUntil: change.validUntil })
  }
}

/**
 * A change that was cut, by a crash or a full disk, was never acknowledged.
 *
 * @param {string} line
 * @returns {Change | undefined}
 */
function parse(line) {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/**
 * @param {string} path
 * @returns {import('bawn').TokenStore}
 */
function openStore(path) {
  const descriptor = openSync(path, 'a+', 0o600)
  /** @type {Map<string, TokenRecord>} */
  const records = new Map()
  let seen = 0

  /**
   * What holds now: whatever anybody has appended since the last look is applied first.
   *
   * @param {number} now
   */
  const current = now => {
    const { size } = fstatSync(descriptor)
    if (size > seen) {
      const bytes = Buffer.alloc(size - seen)
      const length = readSync(descriptor, bytes, 0, bytes.length, seen)
      // Whole lines only: the rest of one may still be on its way.
      const end = bytes.subarray(0, length).lastIndexOf(10) + 1
      for (const line of bytes.toString('utf8', 0, end).split('\n')) {
        const change = parse(line)
        if (change !== undefined) apply(records, change)
      }
      seen += end
    }
    for (const [digest, { validUntil }] of records) if (validUntil <= now) records.delete(digest)
    return records
  }

  /** @param {Change} change */
  const append = change => {
    // The first line feed ends what somebody may have left unfinished.
    const line = Buffer.from(`\n${JSON.stringify(change)}\n`)
    if (writeSync(descriptor, line) !== line.length) throw new Error('the disk is full')
    fsyncSync(descriptor)
  }

  /** @param {TokenRecord} a @param {TokenRecord} b */
  const byEnd = (a, b) => a.validUntil - b.validUntil
  /** @param {string} subjectId @param {number} now */
  const ownOf = (subjectId, now) => [...current(now).values()].filter(({ subject }) => subject.id === subjectId)

  // A method that throws is "cannot decide": 503.
  return {
    async add(record, { perSubject, inAll }, now) {
      if (current(now).size >= inAll) return 'full'
      const own = ownOf(record.subject.id, now).sort(byEnd)
      for (const { digest } of own.slice(0, Math.max(0, own.length + 1 - perSubject))) append({ remove: digest })
      append({ add: record })
      return 'kept'
    },
    async find(digest, now) {
      return current(now).get(digest)
    },
    async extend({ digest }, validUntil, now) {
      if (!current(now).has(digest)) return false
      append({ extend: digest, validUntil })
      return current(now).has(digest)
    },
    async removeSubject(subjectId, now) {
      const { length } = ownOf(subjectId, now)
      append({ revoke: subjectId })
      return length
    },
    async removeAll(now) {
      const { size } = current(now)
      append({ revokeAll: true })
      return size
    },
    async list(now) {
      return [...current(now).values()].sort(byEnd)
    },
    async close() {
      closeSync(descriptor)
    },
  }
}

/** @type {import('bawn').TokenManagerKind<JsonTokenOptions>} */
const json = {
  kind: 'json',
  options,
  open: ({ path }, surroundings) => surroundings.randomTokens(openStore(surroundings.path(path)), { renew: true }),
}

/** @type {import('bawn').Plugin} */
const plugin = { name: 'json-tokens', api: 1, tokenManagers: [json] }
export default plugin
