import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConnectionInfo, sslModeOf, tlsOptionsOf } from './conninfo.ts'
import { CliError } from './error.ts'

const rows = [
  ['nothing', '', {}],
  ['pairs', 'host=h port=5432 user=u dbname=d', { host: 'h', port: '5432', user: 'u', dbname: 'd' }],
  ['space round the equals sign', ' host = h  user= u ', { host: 'h', user: 'u' }],
  ['quotes', `dbname='my db' user='it\\'s'`, { dbname: 'my db', user: "it's" }],
  ['a backslash', 'user=a\\ b', { user: 'a b' }],
  ['an empty value', "host=h password=''", { host: 'h', password: '' }],
  [
    'a URL',
    'postgres://u:p%40s@h:5433/d?sslmode=require',
    { host: 'h', port: '5433', user: 'u', password: 'p@s', dbname: 'd', sslmode: 'require' },
  ],
  ['a URL with IPv6', 'postgresql://[::1]/d', { host: '::1', dbname: 'd' }],
  ['a URL with little', 'postgres://h', { host: 'h' }],
] as const
for (const [name, text, info] of rows) {
  test(`a connection string is read: ${name}`, () => assert.deepEqual({ ...parseConnectionInfo(text) }, info))
}

const refused = [
  ['an unknown parameter', 'hots=h', /unknown connection parameter "hots"/],
  ['no equals sign', 'host=h hunter2', /cannot be read after character 6/],
  ['an open quote', "password='hunter2", /cannot be read after character 0/],
  ['text behind a quote', "password='a'hunter2", /cannot be read/],
  ['an unknown sslmode', 'sslmode=on', /sslmode is one of/],
  ['a port that is none', 'port=hunter2', /port is a number/],
  ['a port that is too large', 'port=70000', /port is a number/],
  ['a broken URL', 'postgres://h:port:hunter2/', /URL cannot be read/],
  ['a broken escape', 'postgres://u:%zz@h/', /% that escapes nothing/],
] as const
for (const [name, text, says] of refused) {
  test(`a connection string is refused without repeating it: ${name}`, () => {
    assert.throws(
      () => parseConnectionInfo(text),
      (error: unknown) => {
        assert.ok(error instanceof CliError)
        assert.match(error.message, says)
        assert.doesNotMatch(`${error.message} ${error.suggestion}`, /hunter2/)
        return true
      },
    )
  })
}

test('sslmode means what it means to libpq', () => {
  const read = (): Buffer => Buffer.from('pem')
  const of = (text: string) => {
    const options = tlsOptionsOf(parseConnectionInfo(text), read)
    return [options.rejectUnauthorized, options.checkServerIdentity === undefined, options.ca !== undefined]
  }
  assert.equal(sslModeOf({}), 'prefer')
  assert.deepEqual(of('sslmode=require'), [false, false, false])
  assert.deepEqual(of('sslmode=require sslrootcert=x'), [true, false, true])
  assert.deepEqual(of('sslmode=verify-ca sslrootcert=x'), [true, false, true])
  assert.deepEqual(of('sslmode=verify-full sslrootcert=x'), [true, true, true])
  assert.deepEqual(of('sslmode=verify-full sslrootcert=system'), [true, true, false])
})

test('random text ends in parameters or in a usage error', () => {
  const pieces = [
    'host',
    '=',
    "'",
    '\\',
    ' ',
    'postgres://',
    '@',
    ':',
    '/',
    '?',
    '%',
    'é',
    '\0',
    'user=x',
    'a'.repeat(50),
  ]
  let state = 7
  for (let round = 0; round < 2000; round++) {
    let text = ''
    for (let length = round % 12; length > 0; length--) {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
      text += pieces[state % pieces.length]
    }
    try {
      parseConnectionInfo(text)
    } catch (error) {
      assert.ok(error instanceof CliError, text)
    }
  }
})
