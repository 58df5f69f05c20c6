import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Answers } from './answers.ts'
import type { Conversation } from './conversation.ts'
import { passPlainAnswers } from './plain-answers.ts'
import { ServerStatements } from './pool/server-statements.ts'
import { column, complete, conversation, dataRow, end, ready, snapshot } from './relay.fixture.ts'
import { Requests } from './requests.ts'
import type { SchemaSnapshot } from './sql/plan.ts'
import { buildBind } from './wire/bind.ts'
import { back, front as frontend } from './wire/message.ts'
import { buildParse } from './wire/parse.ts'
import { buildRowDescription } from './wire/row-description.ts'

const parseOf = (name: string, sql: string, types: number[] = []): Buffer =>
  buildParse({ name, text: Buffer.from(sql), types })
const bindOf = (statement: string, portal = '', value = '7'): Buffer =>
  buildBind({ portal, statement, formats: [], values: [Buffer.from(value)], resultFormats: [0] })
const describe = end(frontend.describe, 'P\0')
const execute = end(frontend.execute, '\0\0\0\0\0')
const sync = end(frontend.sync, '')
const group = (...messages: Buffer[]): Buffer => Buffer.concat([...messages, sync])

const answerOf: Readonly<Record<string, Buffer>> = {
  parse: end(back.parseComplete, ''),
  bind: end(back.bindComplete, ''),
  'describe-portal': buildRowDescription([column('one', 0, 23)]),
  execute: Buffer.concat([dataRow(Buffer.from('1')), dataRow(Buffer.from('2')), complete]),
  sync: ready,
}

/** A session that has prepared a plain statement by two names and a protected one. */
function prepared(change: (talk: Conversation) => object = () => ({})) {
  const talk = conversation()
  const requests = new Requests(talk, () => {})
  const answers = new Answers(talk)
  const answer = (): string => {
    const due = talk.pending.list().map(({ kind }) => answerOf[kind] ?? Buffer.alloc(0))
    answers.receive(Buffer.concat(due))
    return talk.toClient.take()?.toString('latin1') ?? ''
  }
  const first = ['plain', ''].map(name => parseOf(name, 'select 1 where $1'))
  requests.receive(Buffer.concat([...first, parseOf('protected', 'select secret where $1'), sync]), true)
  requests.run()
  talk.toServer.take()
  answer()
  Object.assign(talk, change(talk))
  return { talk, requests, answer }
}

/** Another snapshot from here on. */
const changed =
  (other: Partial<SchemaSnapshot>) =>
  ({ database }: Conversation): object => ({
    database: { ...database, schema: { ...database.schema, fresh: () => ({ ...snapshot, ...other }) } },
  })

const groups: readonly (readonly [
  name: string,
  bytes: Buffer,
  taken: boolean,
  change?: (talk: Conversation) => object,
])[] = [
  ['what a driver sends for a prepared statement', group(bindOf('plain'), describe, execute), true],
  ['without a description', group(bindOf('plain'), execute), true],
  ['several before one Sync', group(bindOf('plain'), execute, bindOf('plain'), describe, execute), true],
  ['the text of the unnamed statement once more', group(parseOf('', 'select 1 where $1'), bindOf(''), execute), true],
  ['another text', group(parseOf('', 'select 2 where $1'), bindOf(''), execute), false],
  ['with types', group(parseOf('', 'select 1 where $1', [23]), bindOf(''), execute), false],
  ['a text by a name', group(parseOf('plain2', 'select 1 where $1'), bindOf('plain2'), execute), false],
  ['a portal by a name', group(bindOf('plain', 'cursor'), execute), false],
  ['a protected statement', group(bindOf('protected'), describe, execute), false],
  ['a statement that is not there', group(bindOf('nobody'), execute), false],
  ['Execute before Bind', group(execute, bindOf('plain')), false],
  ['some of the rows', group(bindOf('plain'), end(frontend.execute, '\0\0\0\0\x01')), false],
  ['a portal that is not run', group(bindOf('plain'), describe), false],
  ['another portal behind it that is not run', group(bindOf('plain'), execute, bindOf('plain')), false],
  ['without Sync', bindOf('plain'), false],
  ['cut in a message', group(bindOf('plain'), execute).subarray(0, -2), false],
  ['longer than is kept', group(bindOf('plain', '', 'x'.repeat(10_001)), execute), false],
  [
    'while everything is told',
    group(bindOf('plain'), execute),
    false,
    ({ state }) => ({ state: { ...state, auditStatements: 'all' } }),
  ],
  ['behind a change of the schema', group(bindOf('plain'), execute), false, () => ({ schemaChangedAt: 1 })],
  ['where SQL has given names', group(bindOf('plain'), execute), false, () => ({ declarations: 1 })],
  ['behind an error, before Sync', group(bindOf('plain'), execute), false, () => ({ discarding: true })],
  ['in COPY', group(bindOf('plain'), execute), false, () => ({ copyIn: 'skipping-sync' })],
  [
    'judged by the rules of the firewall that are in force',
    group(bindOf('plain'), execute),
    true,
    ({ database }) => ({ database: { ...database, firewall: { isSame: () => true } } }),
  ],
  [
    'judged by rules that a reload has replaced',
    group(bindOf('plain'), execute),
    false,
    ({ database }) => ({ database: { ...database, firewall: { isSame: () => false } } }),
  ],
  [
    'a text that the firewall has not judged',
    group(parseOf('', 'select 1 where $1'), bindOf(''), execute),
    false,
    ({ database }) => ({ database: { ...database, firewall: { isSame: () => true } } }),
  ],
  [
    'where SQL has given the name to what other rules judged',
    group(bindOf('plain'), execute),
    false,
    ({ database }) => ({
      database: { ...database, firewall: { isSame: () => true } },
      judgedNames: { of: (key: string) => (key === 'statement plain' ? 1 : undefined) },
    }),
  ],
  [
    'where connections are shared',
    group(bindOf('plain'), execute),
    false,
    () => ({ prepared: new ServerStatements() }),
  ],
  [
    'of somebody whose proof expires',
    group(bindOf('plain'), execute),
    false,
    ({ audit }) => ({ audit: { ...audit, identity: { ...audit.identity, expiresAt: 1 } } }),
  ],
  [
    'with grants',
    group(bindOf('plain'), execute),
    false,
    ({ database }) => ({ database: { ...database, grants: {} } }),
  ],
  ['with a row filter that is gone', group(bindOf('plain'), execute), false, changed({ missingFilters: ['t'] })],
  ['when the schema is another', group(bindOf('plain'), execute), false, changed({ epoch: 2 })],
  ['where a view is not known yet', group(bindOf('plain'), execute), false, () => ({ unread: ['a view'] })],
]

test('groups over nothing protected go on at once, and others message by message', () => {
  for (const [name, bytes, taken, change] of groups) {
    const { talk, requests } = prepared(change)
    requests.receive(bytes, true)
    assert.equal(!talk.toServer.isEmpty, taken, name)
    if (taken) assert.deepEqual(talk.toServer.take(), bytes, name)
  }
})

test('a group that goes on at once leaves what it leaves message by message', () => {
  for (const [name, bytes, taken] of groups) {
    if (!taken) continue
    const [whole, pieces] = [prepared(), prepared()]
    whole.requests.receive(bytes, true)
    whole.requests.run()
    for (const byte of bytes) {
      pieces.requests.receive(Buffer.from([byte]), true)
      pieces.requests.run()
    }
    for (const { talk } of [whole, pieces])
      assert.equal(talk.toServer.take()?.toString('latin1'), bytes.toString('latin1'), name)
    const now = ({ talk }: typeof whole): unknown[] => {
      return [
        talk.batch,
        talk.runs,
        talk.executedIn,
        talk.isSettled,
        talk.pending.outstandingReady,
        talk.pending.length,
        talk.statements.size,
      ]
    }
    assert.equal(whole.answer(), pieces.answer(), name)
    assert.deepEqual(now(whole), now(pieces), name)
  }
})

test('an error in a group ends it at its Sync, and the next one is served', () => {
  const failure = end(back.error, 'SERROR\0VERROR\0C22012\0Mdivision by zero\0\0')
  const { talk, requests } = prepared()
  const answers = new Answers(talk)
  const both = Buffer.concat([group(bindOf('plain'), describe, execute), group(bindOf('plain'), execute)])
  requests.receive(both, true)
  assert.deepEqual(talk.toServer.take(), both)
  const { bind = ready, execute: rows = ready, 'describe-portal': described = ready } = answerOf
  const answer = Buffer.concat([bind, described, failure, ready, bind, rows, ready])
  answers.receive(answer)
  assert.deepEqual(talk.toClient.take(), answer)
  assert.equal(talk.pending.length, 0)
})

test('answers are looked at one by one where a ReadyForQuery may come that nobody has asked for', () => {
  const answer = group(...['bind', 'execute'].map(kind => answerOf[kind] ?? ready)).subarray(0, -5)
  for (const [name, due, passed] of [
    ['none', 0, answer.length],
    ['one', 1, 0],
  ] as const) {
    const { talk, requests } = prepared()
    requests.receive(group(bindOf('plain'), execute), true)
    talk.strays.expect(due)
    assert.equal(passPlainAnswers(talk, answer), passed, name)
  }
})
