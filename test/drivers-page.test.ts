import assert from 'node:assert/strict'
import { test } from 'node:test'
import { httpClients, httpMechanisms, postgresClients, postgresMechanisms } from './drivers/matrix.ts'
import { clientNames, namedInVersions, readPage, rewritten } from './drivers/table.ts'

// docs/clients.md against the list that `npm run test:drivers` goes through with the clients themselves.

test('docs/clients.md has the tables of the list, and a version of each client', () => {
  const text = readPage()
  assert.equal(text, rewritten(text), 'run: npm run test:drivers -- --write')
  assert.deepEqual(namedInVersions(text), clientNames)
})

test('every cell says how, or why not', () => {
  for (const { name, cells } of [...postgresClients, ...httpClients]) {
    for (const [mechanism, cell] of Object.entries(cells)) {
      const where = `${name}, ${mechanism}`
      if ('cannot' in cell) assert.match(cell.cannot, /\w+ \w+/, where)
      else if (mechanism !== 'trust') assert.notEqual(cell.settings, '', where)
      assert.doesNotMatch(Object.values(cell).join(), /[|\n`]/, where)
    }
  }
  assert.equal(new Set(clientNames).size, postgresClients.length + httpClients.length)
  for (const mechanisms of [postgresMechanisms, httpMechanisms]) {
    assert.equal(new Set(mechanisms.map(({ title }) => title)).size, mechanisms.length)
  }
})
