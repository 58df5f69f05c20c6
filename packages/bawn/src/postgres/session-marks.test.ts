import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PostgresError } from './failure.ts'
import { guardOf, marksOf } from './session-marks.ts'
import type { SessionMarks } from './state.ts'

const none: SessionMarks = { role: undefined, setting: undefined, rolesSetting: undefined }
const mapped = new Map([
  ['billing', 'app_billing'],
  ['support', 'app_support'],
])
const rows: readonly (readonly [
  name: string,
  marks: SessionMarks | undefined,
  id: string,
  roles: readonly string[],
  wanted: readonly (readonly [string, string])[] | 'refused',
])[] = [
  ['nothing wanted', undefined, 'a\0', [], []],
  ['the id as the role', { ...none, role: 'id' }, 'alice', [], [['role', 'alice']]],
  ['a name of 63 bytes', { ...none, role: 'id' }, 'é'.repeat(31), [], [['role', 'é'.repeat(31)]]],
  ['a name of more', { ...none, role: 'id' }, 'é'.repeat(32), [], 'refused'],
  ['no name', { ...none, role: 'id' }, '', [], 'refused'],
  ['the name that means none', { ...none, role: 'id' }, 'none', [], 'refused'],
  ['a NUL, which would end the value', { ...none, setting: 'app.user' }, 'alice\0bob', [], 'refused'],
  ['a role by a role', { ...none, role: mapped }, 'alice', ['support'], [['role', 'app_support']]],
  ['the first of several', { ...none, role: mapped }, 'alice', ['billing', 'support'], [['role', 'app_billing']]],
  ['none of them', { ...none, role: mapped }, 'alice', ['guest', 'constructor'], 'refused'],
  [
    'both settings',
    { ...none, setting: 'app.user', rolesSetting: 'app.roles' },
    'alice',
    ['billing', 'support'],
    [
      ['app.user', 'alice'],
      ['app.roles', 'billing,support'],
    ],
  ],
  ['no roles', { ...none, rolesSetting: 'app.roles' }, 'alice', [], [['app.roles', '']]],
]

for (const [name, marks, id, roles, wanted] of rows) {
  test(`a session begins with: ${name}`, () => {
    const found = marksOf(marks, { id, roles })
    if (wanted === 'refused') assert.ok(found instanceof PostgresError && found.code === 'postgres.identity_unmapped')
    else assert.deepEqual(found, wanted)
  })
}

test('the roles of the gateway are guarded where users come in as the gateway', () => {
  const marks = { ...none, setting: 'app.user' }
  assert.deepEqual([...guardOf(marks, 'broker').settings], ['role', 'session_authorization', 'app.user'])
  assert.deepEqual([...guardOf(marks, 'verifier').settings], ['app.user'])
  assert.equal(guardOf({ ...none, role: 'id' }, 'broker').role, true)
})
