import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createParser, type Parsed } from './parser.ts'

test('parses, and counts in bytes', async () => {
  const parser = await createParser()
  const parsed = await parser.parse(Buffer.from("SELECT 'é', x"))
  assert(parsed.kind === 'parsed')
  assert(JSON.stringify(parsed.statements).includes('"location":13'))
  assert.deepEqual(await parser.parse(Buffer.from('')), { kind: 'parsed', statements: [] })
  assert.deepEqual(await parser.parse(Buffer.from("SELECT 'é' FROM WHERE")), { kind: 'invalid', offset: 17 })
  parser.close()
  assert.deepEqual(await parser.parse(Buffer.from('SELECT 1')), { kind: 'failed' })
})

test('a statement that breaks the parser costs an instance, not the parser', async () => {
  const parser = await createParser()
  const hostile = Buffer.from(`SELECT ${'(SELECT '.repeat(3_000)}1${')'.repeat(3_000)}`)
  for (let round = 0; round < 45; round++) await parser.parse(hostile)
  const chain = Buffer.from(`SELECT ${'1+'.repeat(20_000)}1`)
  const answers: (Parsed | Promise<Parsed>)[] = [chain, hostile, Buffer.from('SELECT 1')].map(text =>
    parser.parse(text),
  )
  const [, , last] = await Promise.all(answers)
  assert.equal(last?.kind, 'parsed')
  assert.equal((await parser.parse(Buffer.from('SELECT 1'))).kind, 'parsed')
  parser.close()
})
