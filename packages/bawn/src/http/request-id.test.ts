import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRequestIds } from './request-id.ts'

test('ids are random UUIDs, each another one, across batches and generators', () => {
  const [one, other] = [createRequestIds(), createRequestIds()]
  const ids = Array.from({ length: 500 }, () => [one(), other()]).flat()
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(new Set(ids).size, ids.length)
})
