import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAccountStatement } from './parse.ts'
import { withoutSecret } from './statement.ts'

function understood(text: string): string | undefined {
  const reading = readAccountStatement(Buffer.from(text))
  if (reading === undefined) return undefined
  return reading.kind === 'account'
    ? withoutSecret(reading.statement)
    : `${reading.message} @${reading.offset ?? 'end'}`
}

const statements: readonly (readonly [text: string, understood: string])[] = [
  ['CREATE USER ann', 'CREATE USER ann'],
  ['create user Ann;', 'CREATE USER ann'],
  ['CREATE USER "Ann@Example.org"', 'CREATE USER "Ann@Example.org"'],
  ['CREATE USER "a""b"', 'CREATE USER "a""b"'],
  ["CREATE USER ann WITH (password = 'x')", 'CREATE USER ann WITH (password = ***)'],
  ["CREATE USER ann WITH (PASSWORD='it''s')", 'CREATE USER ann WITH (password = ***)'],
  ["CREATE USER ann (password = 'x')", 'CREATE USER ann WITH (password = ***)'],
  ["CREATE USER ann WITH PASSWORD 'x'", 'CREATE USER ann WITH (password = ***)'],
  ["CREATE USER ann PASSWORD 'x'", 'CREATE USER ann WITH (password = ***)'],
  ['CREATE USER IF NOT EXISTS ann', 'CREATE USER ann'],
  ['CREATE ROLE support', 'CREATE ROLE support'],
  ['CREATE USER mapping', 'CREATE USER mapping'],
  ['/* a */ CREATE -- b\n USER ann', 'CREATE USER ann'],
  ["ALTER USER ann SET (password = 'x')", 'ALTER USER ann SET (password = ***)'],
  ['ALTER USER ann SET (password = NULL)', 'ALTER USER ann RESET (password)'],
  ['ALTER USER ann RESET (password)', 'ALTER USER ann RESET (password)'],
  ["ALTER USER ann WITH PASSWORD 'x'", 'ALTER USER ann SET (password = ***)'],
  ["ALTER USER ann PASSWORD 'x'", 'ALTER USER ann SET (password = ***)'],
  ["ALTER USER CURRENT_USER SET (password = 'x')", 'ALTER USER CURRENT_USER SET (password = ***)'],
  ['ALTER USER "current_user" SET (password = \'x\')', 'ALTER USER "current_user" SET (password = ***)'],
  ['DROP USER ann', 'DROP USER ann'],
  ['DROP USER IF EXISTS ann', 'DROP USER ann'],
  ['DROP ROLE support', 'DROP ROLE support'],
  ['GRANT DQL TO ann', 'GRANT DQL ON CLUSTER TO ann'],
  ['GRANT DQL, dml ON TABLE people TO ann, support', 'GRANT DQL, DML ON TABLE people TO ann, support'],
  ['GRANT ALL TO ann', 'GRANT ALL ON CLUSTER TO ann'],
  ['GRANT ALL PRIVILEGES ON SCHEMA crm TO ann', 'GRANT ALL ON SCHEMA crm TO ann'],
  ['GRANT AL ON CLUSTER TO ann', 'GRANT AL ON CLUSTER TO ann'],
  ['GRANT DDL ON DATABASE shop, "Other-1" TO ann', 'GRANT DDL ON DATABASE shop, DATABASE "Other-1" TO ann'],
  ['GRANT DQL ON SCHEMA shop.public TO ann', 'GRANT DQL ON SCHEMA shop.public TO ann'],
  ['GRANT DQL ON VIEW crm.v TO ann', 'GRANT DQL ON TABLE crm.v TO ann'],
  ['GRANT DQL ON TABLE shop.crm."Deals" TO ann', 'GRANT DQL ON TABLE shop.crm."Deals" TO ann'],
  ['DENY DQL ON TABLE people TO ann', 'DENY DQL ON TABLE people TO ann'],
  ['REVOKE DQL FROM ann', 'REVOKE DQL ON CLUSTER FROM ann'],
  ['GRANT support, billing TO ann, ben', 'GRANT support, billing TO ann, ben'],
  ['GRANT "DQL" TO ann', 'GRANT "DQL" TO ann'],
  ['GRANT "dql" TO "public"', 'GRANT "dql" TO "public"'],
  ['REVOKE support FROM ann', 'REVOKE support FROM ann'],
  ['SHOW USERS', 'SHOW USERS'],
  ['show roles;', 'SHOW ROLES'],
  ['SHOW GRANTS', 'SHOW GRANTS'],
  ['SHOW GRANTS FOR ann', 'SHOW GRANTS FOR ann'],
  ['SHOW GRANTS FOR CURRENT_USER', 'SHOW GRANTS FOR CURRENT_USER'],
  ['SELECT * FROM sys.users', 'SELECT FROM sys.users'],
  ['SELECT name, superuser FROM sys.users;', 'SELECT FROM sys.users'],
  ['select * from SYS.privileges', 'SELECT FROM sys.privileges'],
  // not understood, and therefore refused
  ['CREATE USER', 'a name was expected @end'],
  ["CREATE USER WITH (password = 'x')", 'a name was expected @12'],
  ['CREATE USER ann WITH', "(password = '…') was expected @end"],
  [
    "CREATE USER ann WITH (password = 'x', superuser = true)",
    '")": nothing but the password can be set here was expected @36',
  ],
  ['CREATE USER ann WITH (jwt = 1)', 'password was expected @22'],
  ["CREATE USER ann SUPERUSER PASSWORD 'x'", 'the statement goes on where its end was expected @16'],
  ["CREATE USER ann PASSWORD 'x' VALID UNTIL 'y'", 'the statement goes on where its end was expected @29'],
  ["CREATE USER ann PASSWORD E'x'", 'a password was expected @25'],
  ["CREATE USER ann PASSWORD U&'x'", 'a password was expected @25'],
  ['CREATE USER ann PASSWORD $$x$$', 'a password was expected @25'],
  ["CREATE USER ann PASSWORD 'a'\n'b'", 'a password was expected @25'],
  ['CREATE USER ann PASSWORD x', 'a password was expected @25'],
  ['CREATE USER ann PASSWORD NULL', 'a password was expected @25'],
  ["CREATE USER ann PASSWORD ''", 'a password must not be empty @end'],
  ['CREATE USER ann WITH (password = $1)', 'a password cannot be a parameter here @33'],
  ["CREATE USER ann PASSWORD 'open", 'the statement does not end, or is too long @0'],
  [
    "ALTER USER ann PASSWORD 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy'",
    'this password is hashed already, and would be taken for the password itself @24',
  ],
  [
    "CREATE USER ann PASSWORD 'md5a3556571e93b0d20722ba62be61e8c2d'",
    'this password is hashed already, and would be taken for the password itself @25',
  ],
  ["CREATE ROLE support WITH (password = 'x')", 'creating a ROLE with a password is not allowed @end'],
  ['ALTER ROLE support RESET (password)', 'a role has no password, and nothing else of it can be altered @19'],
  ['ALTER USER ann RENAME TO ben', "SET (password = '…') was expected: nothing else of a user can be altered @15"],
  [
    "ALTER USER ann SET search_path = 'x'",
    "SET (password = '…') was expected: nothing else of a user can be altered @19",
  ],
  ['ALTER USER ann RESET ALL', '(password) was expected @21'],
  ['DROP USER ann, ben', 'one user or role is dropped at a time @13'],
  ['DROP USER ann CASCADE', 'the statement goes on where its end was expected @14'],
  ['CREATE GROUP x', 'there are no groups @7'],
  ['GRANT', 'a privilege or the name of a role was expected @end'],
  ['GRANT SELECT ON people TO ann', 'this is a privilege of PostgreSQL, and here those of the gateway are meant @6'],
  ['GRANT DQL, support TO ann', 'DQL, DML, DDL or AL was expected @11'],
  ['GRANT DQL ON people TO ann', 'CLUSTER, DATABASE, SCHEMA, TABLE or VIEW was expected after ON @13'],
  [
    'GRANT DQL ON ALL TABLES IN SCHEMA crm TO ann',
    'CLUSTER, DATABASE, SCHEMA, TABLE or VIEW was expected after ON @13',
  ],
  ['GRANT DQL ON DATABASE a.b TO ann', 'the name of a database has 2 parts @26'],
  ['GRANT DQL ON TABLE a.b.c.d TO ann', 'the name of a table has 4 parts @27'],
  ['GRANT DQL TO PUBLIC', 'PUBLIC is nobody here @13'],
  ['GRANT DQL TO ann, public', 'PUBLIC is nobody here @18'],
  ['GRANT DQL TO ann WITH GRANT OPTION', 'the statement goes on where its end was expected @17'],
  ['GRANT DQL FROM ann', 'TO was expected @10'],
  ['REVOKE DQL TO ann', 'FROM was expected @11'],
  ['REVOKE GRANT OPTION FOR DQL FROM ann', 'a privilege or the name of a role was expected @7'],
  ['DENY support TO ann', 'a role cannot be denied @5'],
  ['GRANT DQL TO ann; SELECT 1', 'a statement about accounts stands alone @0'],
  ['SELECT 1; GRANT DQL TO ann', 'a statement about accounts stands alone @10'],
  ['BEGIN; CREATE USER ann; COMMIT', 'a statement about accounts stands alone @7'],
  ['GRANT DQL TO U&"ann"', 'the name of a user or role was expected @13'],
  ['GRANT DQL TO ""', 'the name of a user or role is empty @13'],
  ['SHOW USERS LIKE 1', 'the statement goes on where its end was expected @11'],
  ['SHOW GRANTS FOR', 'a name was expected @end'],
]

test('statements about accounts, understood or refused with the reason', () => {
  const wrong = statements.flatMap(([text, expected]) => {
    const found = understood(text)
    return found === expected ? [] : [`${text}\n    ${found}\n    ${expected}`]
  })
  assert.equal(wrong.length, 0, wrong.join('\n'))
})

test('everything else is left to PostgreSQL', () => {
  for (const text of [
    'SELECT 1',
    '',
    ';',
    'SHOW role',
    'SHOW search_path',
    'SET ROLE x',
    'CREATE USER MAPPING FOR ann SERVER s',
    'CREATE USER MAPPING IF NOT EXISTS FOR ann SERVER s',
    'DROP USER MAPPING FOR ann SERVER s',
    'DROP OWNED BY ann',
    'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ann',
    'CREATE TABLE role (grant_ int)',
    'SELECT * FROM sys.users WHERE name = $1',
    'SELECT * FROM sys.users u',
    'SELECT count(*) FROM sys.users',
    'SELECT * FROM sys.others',
    'SELECT users FROM sys.x',
    'EXPLAIN SELECT * FROM sys.users',
    "SELECT 'GRANT DQL TO ann'",
    '-- GRANT DQL TO ann',
  ]) {
    assert.equal(understood(text), undefined, text)
  }
})

test('passwords are read as they are written, and appear in no message', () => {
  const passwords = [
    'x',
    "it's",
    'back\\slash',
    '$$',
    'ünïcödé',
    "'",
    ' a b ',
    '"',
    '--',
    '/*',
    ';',
    'SCRAM-SHA-256',
    'md5',
  ]
  for (const password of passwords) {
    const literal = `'${password.replaceAll("'", "''")}'`
    for (const text of [
      `CREATE USER ann WITH (password = ${literal})`,
      `CREATE USER ann PASSWORD ${literal}`,
      `ALTER USER ann SET (password = ${literal});`,
    ]) {
      const reading = readAccountStatement(Buffer.from(text))
      assert(
        reading?.kind === 'account' && (reading.statement.kind === 'create' || reading.statement.kind === 'alter'),
        text,
      )
      assert.equal(reading.statement.password, password)
    }
  }
  const secret = 'hunter2-hunter2'
  for (const [text] of statements) {
    const broken = text.replace(/'[^']*'/g, `'${secret}'`)
    const reading = readAccountStatement(Buffer.from(broken))
    const told = reading?.kind === 'misread' ? JSON.stringify(reading) : understood(broken)
    assert(told !== undefined && !told.includes(secret), broken)
  }
})

test('what was understood and written again means the same', () => {
  for (const [text, expected] of statements) {
    const reading = readAccountStatement(Buffer.from(text))
    if (reading?.kind !== 'account' || reading.statement.kind === 'list' || expected.includes('***')) continue
    const again = readAccountStatement(
      Buffer.from(withoutSecret(reading.statement).replaceAll(/, (?:DATABASE|SCHEMA|TABLE) /g, ', ')),
    )
    assert(again?.kind === 'account', text)
    const plain = { ...reading.statement, ifNotExists: false, ifExists: false }
    assert.deepEqual({ ...again.statement, ifNotExists: false, ifExists: false }, plain, text)
  }
})

test('cut and mixed texts end in one of the three answers, and a beginning that is ours is never left to PostgreSQL', () => {
  let seed = 5
  const next = (limit: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return (seed >> 8) % limit
  }
  for (let count = 0; count < 2_000; count++) {
    const [one = ''] = statements[next(statements.length)] ?? []
    const [other = ''] = statements[next(statements.length)] ?? []
    const mixed = Buffer.from(one.slice(0, next(one.length + 1)) + other.slice(next(other.length + 1)))
    if (next(4) === 0 && mixed.length > 0) mixed[next(mixed.length)] = next(256)
    const reading = readAccountStatement(mixed)
    const text = mixed.toString('latin1')
    if (
      /^ *(?:GRANT|DENY|REVOKE) /i.test(text) ||
      /^ *(?:CREATE|ALTER|DROP) +(?:USER|ROLE|GROUP) +(?!MAPPING)/i.test(text)
    ) {
      assert(reading !== undefined, text)
    }
  }
})
