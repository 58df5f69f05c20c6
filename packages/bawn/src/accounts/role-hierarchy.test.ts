import assert from 'node:assert/strict'
import { test } from 'node:test'
import { effectiveRoles, includesRole } from './role-hierarchy.ts'

const hierarchy = new Map([
  ['admins', ['staff', 'auditors']],
  ['auditors', ['staff']],
  ['staff', ['everybody']],
])

const rows: readonly (readonly [name: string, direct: readonly string[], effective: readonly string[]])[] = [
  ['nobody has nothing', [], []],
  ['a role that nobody knows is itself', ['other'], ['other']],
  ['roles of roles, each once, sorted', ['staff', 'admins'], ['admins', 'auditors', 'everybody', 'staff']],
  ['over one', ['auditors', 'zoo'], ['auditors', 'everybody', 'staff', 'zoo']],
]
for (const [name, direct, effective] of rows) {
  test(name, () => assert.deepEqual(effectiveRoles(direct, hierarchy), effective))
}

test('a role includes itself and what it has over others, and not who has it', () => {
  assert.equal(includesRole(hierarchy, 'staff', 'staff'), true)
  assert.equal(includesRole(hierarchy, 'admins', 'everybody'), true)
  assert.equal(includesRole(hierarchy, 'everybody', 'admins'), false)
})

test('a cycle, which no store keeps, does not hang, and a long chain does not end the stack', () => {
  assert.deepEqual(
    effectiveRoles(
      ['a'],
      new Map([
        ['a', ['b']],
        ['b', ['a']],
      ]),
    ),
    ['a', 'b'],
  )
  const chain = new Map(Array.from({ length: 50_000 }, (_, at) => [`r${at}`, [`r${at + 1}`]]))
  assert.equal(effectiveRoles(['r0'], chain).length, 50_001)
})
