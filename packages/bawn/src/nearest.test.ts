import assert from 'node:assert/strict'
import { test } from 'node:test'
import { editDistance, nearest, suggest } from './nearest.ts'

const rows = [
  ['', '', 0],
  ['a', '', 1],
  ['door', 'door', 0],
  ['doro', 'door', 1],
  ['dor', 'door', 1],
  ['poor', 'door', 1],
  ['listners', 'listeners', 1],
  ['abcd', 'badc', 2],
  ['kitten', 'sitting', 3],
] as const
for (const [from, to, distance] of rows) {
  test(`${from} to ${to} is ${distance} apart, in either direction`, () => {
    assert.equal(editDistance(from, to, 9), distance)
    assert.equal(editDistance(to, from, 9), distance)
    if (distance > 0) assert.equal(editDistance(from, to, distance - 1), distance)
  })
}

test('a word is suggested only when it is near', () => {
  assert.equal(nearest('upstrem', ['url', 'upstream']), 'upstream')
  assert.equal(nearest('client-ca', ['client_ca', 'certificate']), 'client_ca')
  assert.equal(nearest('GTE', ['GET', 'PUT']), 'GET')
  assert.equal(nearest('colour', ['port', 'host']), undefined)
  assert.equal(suggest('colour', ['port', 'host']), 'known: port, host')
  assert.equal(suggest('x', []), undefined)
})
