import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { checkOptions } from './written-options.ts'

const schema = (validate: (value: unknown) => unknown) =>
  ({ '~standard': { version: 1, vendor: 'x', validate: validate as never } }) as const

test('what a schema of zod finds wrong has its place', () => {
  const options = z.strictObject({ path: z.string(), list: z.array(z.strictObject({ a: z.int() })) })
  assert.deepEqual(checkOptions(options, { path: 'x', list: [] }), [])
  const paths = checkOptions(options, { path: 7, list: [{ a: 'b' }] }).map(({ path }) => path)
  assert.deepEqual(paths, [['path'], ['list', 0, 'a']])
})

test('a path may be of keys, or of segments with keys', () => {
  const issues = [{ message: 'm', path: ['a', { key: 1 }, Symbol('s')] }, { message: 7, path: 'x' }, null]
  assert.deepEqual(
    checkOptions(
      schema(() => ({ issues })),
      {},
    ),
    [
      { path: ['a', 1, 'Symbol(s)'], message: 'm' },
      { path: [], message: 'is wrong' },
      { path: [], message: 'is wrong' },
    ],
  )
})

test('a schema that throws, answers later, or answers nothing has found something wrong', () => {
  const answers: readonly (() => unknown)[] = [
    () => assert.fail('secret'),
    async () => ({ value: 1 }),
    () => Promise.reject(new Error('secret')),
    () => undefined,
    () => ({ issues: [] }),
    () => ({ issues: 'x' }),
  ]
  for (const answer of answers) {
    const [problem, ...more] = checkOptions(schema(answer), {})
    assert.equal(more.length, 0)
    assert.match(problem?.message ?? '', /^the plug-in (cannot read its options|reads its options later)/)
    assert.doesNotMatch(problem?.message ?? '', /secret/)
  }
})

test('a message is on one line', () => {
  const [problem] = checkOptions(
    schema(() => ({ issues: [{ message: 'a\n\u001b[2Jb' }] })),
    {},
  )
  assert.equal(problem?.message, 'a??[2Jb')
})

test('a schema that changes what it is given changes nothing of the file', () => {
  const written = { list: [1] }
  checkOptions(
    schema(value => {
      Reflect.set(Object(Reflect.get(Object(value), 'list')), 0, 2)
      return { value }
    }),
    written,
  )
  assert.deepEqual(written, { list: [1] })
})
