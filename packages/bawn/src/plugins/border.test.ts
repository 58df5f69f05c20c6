import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBorder, narrowSurroundings, parseOptions } from './border.ts'

const border = createBorder({ name: 'badge', folder: '/etc/bawn', timeoutMs: 20 })

test('an answer comes through, at once or later, from a promise or from what only looks like one', async () => {
  assert.equal(await border.ask('it', () => 7), 7)
  assert.equal(await border.ask('it', async () => 7), 7)
  // biome-ignore lint/suspicious/noThenProperty: a plug-in may bring promises of its own
  assert.equal(await border.ask('it', () => ({ then: (done: (value: number) => void) => done(7) })), 7)
  assert.equal(
    border.askNow('it', () => 7),
    7,
  )
})

test('what throws, and what never comes, cannot decide; the plug-in’s own words are not repeated', async () => {
  const secret = 'the key is 1234'
  const throwing = (): never => {
    throw new Error(secret)
  }
  const isFault = (error: Error): boolean => {
    assert('code' in error && error.code === 'plugins.failed')
    assert.match(error.message, /^plug-in badge: mechanism badge (threw|gave no answer within 20 ms)$/)
    return true
  }
  await assert.rejects(
    border.ask('mechanism badge', async () => throwing()),
    isFault,
  )
  await assert.rejects(border.ask('mechanism badge', throwing), isFault)
  await assert.rejects(
    border.ask('mechanism badge', () => Promise.reject(secret)),
    isFault,
  )
  await assert.rejects(
    border.ask('mechanism badge', () => new Promise(() => {})),
    isFault,
  )
  assert.throws(() => border.askNow('mechanism badge', throwing), isFault)
})

test('a promise where an answer is wanted at once ends nothing when it fails', async () => {
  const rejected: unknown[] = []
  const note = (reason: unknown): number => rejected.push(reason)
  process.on('unhandledRejection', note)
  try {
    const answer = border.askNow('it', () => Promise.reject(new Error('late')))
    assert(answer instanceof Promise)
    await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual(rejected, [])
  } finally {
    process.off('unhandledRejection', note)
  }
})

test('a plug-in has the secrets and the paths that its options name, and speaks under its own name', () => {
  const lines: string[] = []
  const given = {
    clock: () => 0,
    fetch,
    log: (level: string, message: string) => lines.push(`${level} ${message}`),
    secret: (reference: string) => `value of ${reference}`,
    path: (text: string) => text,
  }
  const written = { key: 'file:badge.key', more: [{ deep: 'env:DEEP' }], path: 'x' }
  const narrow = narrowSurroundings(border, 'mechanism badge', written, given)
  assert.equal(narrow.secret('file:badge.key'), 'value of file:/etc/bawn/badge.key')
  assert.equal(narrow.secret('env:DEEP'), 'value of env:DEEP')
  assert.throws(() => narrow.secret('env:ACRA_MASTER_KEY'), { code: 'plugins.failed' })
  assert.equal(narrow.path('users.csv'), '/etc/bawn/users.csv')
  narrow.log('warn', `a\u001b[2J\nb${'x'.repeat(1_000)}`)
  assert.equal(lines[0]?.slice(0, 37), `warn plug-in badge: a?[2J?b${'x'.repeat(10)}`)
  assert(lines[0]?.length === 'warn plug-in badge: '.length + 500)
})

test('options that were good in the file and are not at the start stop it', () => {
  let asked = 0
  const schema = {
    '~standard': {
      version: 1,
      vendor: 'x',
      validate: () => (asked++ === 0 ? { value: 1 } : { issues: [{ message: 'now it is wrong' }] }),
    },
  } as const
  assert.equal(parseOptions(border, 'it', schema, {}), 1)
  assert.throws(() => parseOptions(border, 'it', schema, {}), { code: 'plugins.failed' })
})
