import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { digestHash } from './digest-verifier.ts'
import { type FileAccountsOptions, openFileAccounts, parseUserFile } from './file.ts'
import { AccountError } from './store.ts'

const folder = mkdtempSync(join(tmpdir(), 'bawn-users-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const usersYml = `# RESTHeart's own example
users:
  - userid: admin
    password: changeit
    roles: [users, admins]
  - userid: user1
    password: $2y$04$If6bvum7DFjUnE9p2uDeDuPclGv3dFIX44fnrtu2XJJRsWqKmsrFS
    roles: [users]
    department: sales
  - userid: gone
    password: null
    roles: []
`
const htpasswd = `# made by htpasswd
alice:$2y$04$If6bvum7DFjUnE9p2uDeDuPclGv3dFIX44fnrtu2XJJRsWqKmsrFS

bob:$apr1$r31a5$o4FYhXldbKWDCEj0XtbV50:Bob, sales\r
  # carol:left
dave:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=
`
const bytes = (text: string): Buffer => Buffer.from(text)

function openFile(text: string, more: Partial<FileAccountsOptions> = {}) {
  let at = 0
  const path = join(folder, randomBytes(6).toString('hex'))
  writeFileSync(path, text)
  const store = openFileAccounts({ name: 'legacy', path, format: 'users_yml', roles: [], now: () => at, ...more })
  return {
    store,
    path,
    wait: (ms: number) => {
      at += ms
    },
  }
}

test('users.yml: passwords in clear, hashes, and users that are kept out', async () => {
  const { store } = openFile(usersYml)
  const admin = await store.find('admin')
  assert.deepEqual(admin?.password, { kind: 'plain', password: 'changeit' })
  assert.deepEqual(admin?.roles, ['users', 'admins'])
  assert.equal((await store.find('user1'))?.password?.kind, 'bcrypt')
  assert.equal((await store.find('gone'))?.password, undefined)
  assert.equal(await store.find('Admin'), undefined)
  assert.deepEqual(
    (await store.list()).map(({ name }) => name),
    ['admin', 'user1', 'gone'],
  )
})

test('htpasswd: three kinds of hashes, comments, and one list of roles', async () => {
  const { store } = openFile(htpasswd, { format: 'htpasswd', roles: ['staff'] })
  const kinds = (await store.list()).map(({ name, password, roles }) => [name, password?.kind, ...roles])
  assert.deepEqual(kinds, [
    ['alice', 'bcrypt', 'staff'],
    ['bob', 'apr1', 'staff'],
    ['dave', 'sha1', 'staff'],
  ])
})

test('the decoy of a name is the account after it', async () => {
  const { store } = openFile(htpasswd, { format: 'htpasswd' })
  for (const [user, decoy] of [
    ['', 'alice'],
    ['alice', 'bob'],
    ['b', 'bob'],
    ['carol', 'dave'],
    ['zoe', 'alice'],
  ] as const) {
    assert.equal((await store.decoy?.(user))?.name, decoy, user)
  }
  assert.equal(await openFile('users: []').store.decoy?.('x'), undefined)
})

test('a file that changed is read again, a second later at most; one that is broken or gone lets nobody in', async () => {
  const { store, path, wait } = openFile(usersYml)
  writeFileSync(path, usersYml.replace('userid: admin', 'userid: root'))
  assert.ok((await store.find('admin')) !== undefined)
  wait(1_000)
  assert.equal(await store.find('admin'), undefined)
  assert.ok((await store.find('root')) !== undefined)
  // As an editor does: another file takes the name, of the same length.
  writeFileSync(`${path}.new`, usersYml.replace('userid: admin', 'userid: boss'))
  renameSync(`${path}.new`, path)
  wait(1_000)
  assert.ok((await store.find('boss')) !== undefined)
  writeFileSync(path, `${usersYml}  - userid: admin\n`)
  wait(1_000)
  for (let n = 0; n < 2; n += 1) await assert.rejects(store.find('boss'), { code: 'accounts.bad_file' })
  rmSync(path)
  for (let n = 0; n < 2; n += 1) await assert.rejects(store.find('boss'), { code: 'accounts.unavailable' })
  writeFileSync(path, usersYml)
  assert.ok((await store.find('admin')) !== undefined)
})

test('it cannot be written', async () => {
  const { store } = openFile(usersYml)
  const account = { name: 'x', roles: [], scram: undefined, locked: false }
  await assert.rejects(store.add(account), { code: 'accounts.read_only' })
  await assert.rejects(store.setVerifier('admin', { scram: undefined, password: undefined }), {
    code: 'accounts.read_only',
  })
  assert.equal(store.upgrade, undefined)
})

test('no file is no store', () => {
  const options = { name: 'legacy', format: 'users_yml', roles: [], now: () => 0 } as const
  assert.throws(() => openFileAccounts({ ...options, path: join(folder, 'none') }), { code: 'accounts.unavailable' })
  assert.throws(() => openFileAccounts({ ...options, path: folder }), { code: 'accounts.unavailable' })
})

const user = (lines: string): string => `users:\n  - userid: a\n${lines}`
const rest = '    password: x\n    roles: []\n'
const bad: readonly {
  readonly name: string
  readonly format?: 'htpasswd'
  readonly text: string | Buffer
  readonly says: RegExp
}[] = [
  { name: 'no list', text: 'user: []', says: /:1: there is no list of users/ },
  { name: 'empty', text: '', says: /there is no list/ },
  { name: 'a list that is none', text: 'users: {a: b}', says: /there is no list/ },
  { name: 'a user that is a word', text: 'users:\n  - admin\n', says: /:2: a user has userid/ },
  {
    name: 'a name that is a number',
    text: 'users:\n  - userid: 7\n    password: x\n    roles: []\n',
    says: /:2: userid/,
  },
  {
    name: 'a name of control characters',
    text: 'users:\n  - userid: "a\\u0007"\n    password: x\n    roles: []\n',
    says: /:2: userid/,
  },
  { name: 'no password', text: user('    roles: []\n'), says: /:2: password is missing/ },
  {
    name: 'a password that is a number',
    text: user('    password: 1234\n    roles: []\n'),
    says: /:2: password is missing or no text/,
  },
  { name: 'no roles', text: user('    password: x\n'), says: /:2: roles is missing/ },
  { name: 'a role that is none', text: user('    password: x\n    roles: ["a b"]\n'), says: /:4: one of the roles/ },
  { name: 'roles that are a word', text: user('    password: x\n    roles: admin\n'), says: /:2: roles/ },
  { name: 'a name twice', text: `${user(rest)}  - userid: a\n${rest}`, says: /:5: this userid stands here twice/ },
  { name: 'a key twice', text: user(`${rest}    roles: [admin]\n`), says: /:5: not valid YAML/ },
  {
    name: 'an alias',
    text: user('    password: x\n    roles: &r []\n  - userid: b\n    password: x\n    roles: *r\n'),
    says: /aliases/,
  },
  { name: 'no YAML', text: 'users: [', says: /not valid YAML/ },
  { name: 'nesting without an end', text: `users: ${'['.repeat(100_000)}`, says: /nested too deep|not valid/ },
  { name: 'no UTF-8', text: Buffer.from([0x75, 0xff]), says: /not UTF-8/ },
  { name: 'enormous', text: Buffer.alloc(1_048_577, '#'), says: /1048577 bytes/ },
  { name: 'no colon', format: 'htpasswd', text: 'alice\n', says: /:1: not name:hash/ },
  { name: 'no name', format: 'htpasswd', text: ':{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n', says: /:1: the name/ },
  { name: 'a password', format: 'htpasswd', text: '#\nalice:secret-of-alice\n', says: /:2: the hash is none of/ },
  { name: 'DES crypt', format: 'htpasswd', text: 'alice:rqXexS6ZhobKA\n', says: /:1: the hash is none of/ },
  {
    name: 'a user twice',
    format: 'htpasswd',
    text: `${htpasswd}dave:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n`,
    says: /:7: this name stands here twice/,
  },
]
for (const { name, format = 'users_yml', text, says } of bad) {
  test(`${format}: ${name}`, () => {
    assert.throws(
      () => parseUserFile('users', format, Buffer.from(text), []),
      error => {
        assert.ok(error instanceof AccountError)
        assert.equal(error.code, 'accounts.bad_file')
        assert.match(error.message, says)
        assert.doesNotMatch(error.message, /secret-of-alice/)
        return true
      },
    )
  })
}

test('files that are made to take long end at once in the one error', () => {
  const aliases = Array.from({ length: 30 }, (_, n) => `a${n + 1}: &a${n + 1} [${Array(9).fill(`*a${n}`).join()}]`)
  const files = [
    `a0: &a0 [x]\n${aliases.join('\n')}\nusers: *a30\n`,
    `users: ${'['.repeat(50_000)}`,
    `users: ${'{a: '.repeat(50_000)}`,
    `users:\n${'  - '.repeat(20_000)}`,
    `users: ${'&a '.repeat(20_000)}`,
    'users: !!js/function "x"\n',
    'users: &a [*a]\n',
  ]
  for (const text of files) {
    assert.throws(
      () => parseUserFile('users', 'users_yml', bytes(text), []),
      { code: 'accounts.bad_file' },
      text.slice(0, 30),
    )
  }
  for (const text of [
    ':'.repeat(100_000),
    `${'a'.repeat(100_000)}:x`,
    `a:${'$'.repeat(100_000)}`,
    '#'.repeat(100_000),
  ]) {
    try {
      parseUserFile('users', 'htpasswd', bytes(text), [])
    } catch (error) {
      assert.ok(error instanceof AccountError && error.code === 'accounts.bad_file', String(error))
    }
  }
})

test('cut, changed and random files end in users or in the one error', () => {
  for (const [format, whole] of [
    ['users_yml', usersYml],
    ['htpasswd', htpasswd],
  ] as const) {
    for (let round = 0; round < 400; round += 1) {
      const text = bytes(whole).subarray(0, round % 2 === 0 ? randomInt(whole.length) : whole.length)
      const mutable = round % 5 === 0 ? randomBytes(round) : Buffer.from(text)
      if (round % 2 === 1) mutable[randomInt(mutable.length)] = randomInt(256)
      try {
        parseUserFile('users', format, mutable, [])
      } catch (error) {
        assert.ok(error instanceof AccountError && error.code === 'accounts.bad_file', String(error))
      }
    }
  }
})

test('a name is found by its hash, also when the file has changed; a password has another version then', async () => {
  const { store, path, wait } = openFile(usersYml)
  const find = async (name: string, realm = 'RESTHeart Realm') => {
    const found = await store.findHashed?.({ hash: digestHash('MD5', `${name}:${realm}`), realm, algorithm: 'MD5' })
    return found?.name
  }
  assert.deepEqual(
    [await find('admin'), await find('user1'), await find('nobody'), await find('admin', 'x')],
    ['admin', 'user1', undefined, 'admin'],
  )
  const before = await Promise.all(['admin', 'user1'].map(name => store.find(name)))
  writeFileSync(path, usersYml.replace('changeit', 'changed').replace('user1', 'user2'))
  wait(1_000)
  assert.deepEqual([await find('user1'), await find('user2')], [undefined, 'user2'])
  const [admin, user] = await Promise.all(['admin', 'user2'].map(name => store.find(name)))
  assert.equal(admin?.credential?.isSame(before[0]?.credential), false)
  assert.equal(user?.credential?.isSame(before[1]?.credential), true, 'the same hash')
})
