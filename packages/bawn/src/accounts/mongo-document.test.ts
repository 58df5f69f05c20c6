import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { documentOf, documentShape, nameOf, parseDocument, projectionOf, writableRoles } from './mongo-document.ts'
import { accountStoreOptions } from './option.ts'
import { AccountError } from './store.ts'
import { formatVerifier } from './verifier.ts'

function shapeOf(more: Record<string, unknown> = {}) {
  const options = accountStoreOptions.parse({ kind: 'mongo', url: 'mongodb://localhost', ...more })
  assert(options.kind === 'mongo')
  return documentShape(options)
}

const plain = shapeOf()
const hash = '$2a$04$P6hjXZ9eNtHAQwzXk1oS6OPafnCQZvaqTEWXGzgApKJQyfEzyLnii'
const whole = { _id: 'alice', password: hash, roles: ['b', 'a', 'a'] }

const roleRows: readonly (readonly [
  what: string,
  path: string,
  document: object,
  roles: readonly string[] | 'damaged',
])[] = [
  ['a list', '$.roles', { roles: ['b', 'a', 'a'] }, ['a', 'b']],
  ['none', '$.roles', {}, []],
  ['null', '$.roles', { roles: null }, []],
  ['an empty list', '$.roles', { roles: [] }, []],
  ['a text', '$.roles', { roles: 'admin' }, 'damaged'],
  ['an object', '$.roles', { roles: { 0: 'admin' } }, 'damaged'],
  ['what is no text is left out', '$.roles', { roles: ['a', 1, null, {}, ['b']] }, ['a']],
  ['what is no name is left out', '$.roles', { roles: ['a', '', 'x y', '$unauthenticated', 'é'] }, ['a']],
  ['deep', "$.a['b c']", { a: { 'b c': ['x'] } }, ['x']],
  ['deep, and not there', '$.a.b', { a: 1 }, []],
  ['of each', '$.g[*].r', { g: [{ r: 'x' }, { r: 'y' }, {}, 3] }, ['x', 'y']],
  ['of each, and no list', '$.g[*].r', { g: { r: 'x' } }, 'damaged'],
  ['lists of each', '$.g[*].r[*]', { g: [{ r: ['x', 'y'] }, { r: ['z'] }, {}] }, ['x', 'y', 'z']],
  ['lists of each, one of them no list', '$.g[*].r[*]', { g: [{ r: ['x'] }, { r: 'y' }] }, 'damaged'],
  ['each itself', '$.roles[*]', { roles: ['x'] }, ['x']],
  ['what is inherited is not there', '$.__proto__', {}, []],
  ['nor a method of a list', '$.roles.length', { roles: ['x'] }, []],
]
for (const [what, path, document, roles] of roleRows) {
  test(`roles at ${path}: ${what}`, () => {
    const shape = shapeOf({ json_path_roles: path, property_password: 'password' })
    const parse = () => parseDocument('people', shape, { _id: 'alice', ...document }).roles
    if (roles === 'damaged') assert.throws(parse, { code: 'accounts.unavailable' })
    else assert.deepEqual(parse(), roles)
  })
}

test('an account is its name, its hash, its roles and its lock', () => {
  const account = parseDocument('people', plain, { ...whole, more: { password: 'x' } })
  assert.deepEqual(
    [account.name, account.roles, account.locked, account.scram],
    ['alice', ['a', 'b'], false, undefined],
  )
  assert(account.password !== undefined && account.password.kind !== 'plain')
  assert.equal(formatVerifier(account.password), hash)
  assert.equal(parseDocument('people', plain, { ...whole, locked: true }).locked, true)
  assert.equal(parseDocument('people', plain, { ...whole, password: null }).password, undefined)
})

test('a password in clear is one only where it is said to be', () => {
  const clear = { ...whole, password: 'correct horse' }
  assert.throws(() => parseDocument('people', plain, clear), { code: 'accounts.unavailable' })
  const shape = shapeOf({ insecure_clear_passwords: true })
  assert.deepEqual(parseDocument('people', shape, clear).password, { kind: 'plain', password: 'correct horse' })
  assert.equal(parseDocument('people', shape, whole).password?.kind, 'bcrypt')
})

test('no error says what is in the document', () => {
  for (const damage of [{ roles: 'hunter2' }, { password: 'hunter2' }, { locked: 'hunter2' }, { scram: 'hunter2' }]) {
    assert.throws(
      () => parseDocument('people', plain, { ...whole, ...damage }),
      error => error instanceof AccountError && !JSON.stringify([error.message, error]).includes('hunter2'),
    )
  }
})

test('the name is the whole text at its place', () => {
  const shape = shapeOf({ property_id: 'login.name' })
  assert.equal(nameOf(shape, { login: { name: 'alice' } }), 'alice')
  for (const login of ['alice', ['alice'], { name: ['alice'] }, [{ name: 'alice' }], null, { name: { $gt: '' } }, {}]) {
    assert.equal(nameOf(shape, { login }), undefined, JSON.stringify(login))
  }
})

test('no more of a document is asked for than an account needs', () => {
  assert.deepEqual(projectionOf(plain), { _id: 1, password: 1, locked: 1, scram: 1, roles: 1 })
  const shape = shapeOf({ property_id: 'login.name', json_path_roles: '$.login.roles', property_password: 'pwd' })
  assert.deepEqual(projectionOf(shape), { _id: 0, login: 1, pwd: 1, locked: 1, scram: 1 })
})

test('what is written is read back, whatever the members are called', () => {
  const paths = ['$.roles', '$.a.b', '$.login.roles', '$.__proto__.roles', "$['x y'].constructor"]
  for (const path of paths) {
    const shape = shapeOf({ property_id: 'login.name', json_path_roles: path })
    const document = documentOf([
      ['login.name', 'alice'],
      ['password', hash],
      [writableRoles('people', shape), ['a', 'b']],
    ])
    const account = parseDocument('people', shape, document)
    assert.deepEqual([account.name, account.roles], ['alice', ['a', 'b']], path)
    assert.equal(Object.getPrototypeOf(document), Object.prototype)
  }
  assert.equal(Object.hasOwn(Object.prototype, 'roles'), false)
  for (const path of ['$.a[*]', "$['a.b']", "$['$set']", "$['']"]) {
    assert.throws(() => writableRoles('people', shapeOf({ json_path_roles: path })), { code: 'accounts.read_only' })
  }
})

test('whatever a document is, it is an account or a store that failed', () => {
  const atoms: readonly (() => unknown)[] = [
    () => null,
    () => undefined,
    () => randomInt(1e6),
    () => hash.slice(0, randomInt(hash.length + 1)),
    () => ['a', 'roles', '__proto__', 'alice', '\ud800', '\0'][randomInt(6)],
    () => true,
    () => 7n,
    () => new Date(Number.NaN),
    () => Symbol.iterator,
    () => new Proxy({}, {}),
  ]
  const members = ['_id', 'password', 'roles', 'locked', 'scram', 'login', 'name', 'g', 'r', '0', 'toString']
  const value = (depth: number): unknown => {
    const kind = randomInt(4)
    if (depth === 0 || kind < 2) return atoms[randomInt(atoms.length)]?.()
    if (kind === 2) return Array.from({ length: randomInt(4) }, () => value(depth - 1))
    const count = randomInt(6)
    return Object.fromEntries(
      Array.from({ length: count }, () => [members[randomInt(members.length)], value(depth - 1)]),
    )
  }
  const shapes = [
    plain,
    shapeOf({ property_id: 'login.name', json_path_roles: '$.g[*].r', insecure_clear_passwords: true }),
  ]
  let accounts = 0
  for (let round = 0; round < 1_000; round++) {
    for (const shape of shapes) {
      const document =
        randomInt(3) === 0 ? value(4) : { _id: 'a', login: { name: 'a' }, [members[randomInt(9)] ?? '']: value(4) }
      try {
        const account = parseDocument('people', shape, document)
        assert(account.roles.every(role => typeof role === 'string') && typeof account.name === 'string')
        accounts += 1
      } catch (error) {
        assert(error instanceof AccountError && error.code === 'accounts.unavailable', String(error))
      }
    }
  }
  assert(accounts > 100)
})
