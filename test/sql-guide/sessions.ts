import type { Table } from './rows.ts'

// Rows of docs/guide/sql.md; ../sql-guide.test.ts runs them.

export const sessions: readonly Table[] = [
  {
    name: 'cursors',
    kind: 'works',
    rows: [
      {
        sql: 'DECLARE c SCROLL CURSOR FOR SELECT id, email FROM users ORDER BY id; FETCH 1 FROM c; FETCH ABSOLUTE 2 FROM c',
        does: 'portions, in any direction',
        gives: [[2, 'ben@example.org']],
      },
      {
        sql: 'DECLARE c CURSOR FOR SELECT email FROM users ORDER BY id; MOVE 1 IN c; FETCH ALL FROM c',
        does: 'MOVE yields nothing',
        gives: [['ben@example.org']],
      },
      {
        sql: 'DECLARE h CURSOR WITH HOLD FOR SELECT email FROM users ORDER BY id; COMMIT; FETCH 1 FROM h; COMMIT; CLOSE h',
        does: 'beyond the end of its transaction',
        committed: '',
      },
      {
        sql: "DECLARE c CURSOR FOR SELECT id FROM users WHERE id = 1; FETCH c; UPDATE users SET email = 'new@example.org' WHERE CURRENT OF c",
        does: 'and writing at one',
      },
    ],
  },
  {
    name: 'named',
    kind: 'works',
    rows: [
      {
        sql: 'PREPARE p AS SELECT email FROM users WHERE id = $1; EXECUTE p(1); DEALLOCATE p',
        does: 'prepared by SQL',
      },
      {
        sql: "PREPARE p (int, text) AS INSERT INTO users (id, email) VALUES ($1, $2); EXECUTE p(4, 'dan@example.org'); SELECT email FROM users WHERE id = 4",
        does: 'values for EXECUTE are sealed as literals are',
        gives: [['dan@example.org']],
      },
      {
        sql: "PREPARE p AS SELECT id FROM users WHERE email = $1; EXECUTE p('ben@example.org')",
        does: 'and searched for',
        gives: [[2]],
      },
      { sql: 'EXPLAIN SELECT email FROM users', does: 'the plan of the statement as the database gets it' },
      {
        sql: "EXPLAIN (ANALYZE, VERBOSE) UPDATE users SET email = 'a@example.org' WHERE email = 'b@example.org'",
        does: 'with hashes and ciphertext in the place of values',
        ciphertext: true,
      },
    ],
  },
  {
    name: 'named-refused',
    kind: 'refused',
    rows: [
      {
        sql: "PREPARE p AS INSERT INTO users (email) VALUES ($1); EXECUTE p(lower('A'))",
        does: "`PREPARE p AS INSERT INTO users (email) VALUES ($1); EXECUTE p('a')`",
      },
      {
        sql: 'PREPARE p (varchar(3)) AS INSERT INTO users (email) VALUES ($1)',
        does: '`PREPARE p (text) AS INSERT INTO users (email) VALUES ($1)`',
      },
      { sql: 'CREATE TABLE t AS EXECUTE p', does: 'the query itself' },
      { sql: 'PREPARE p AS SELECT id FROM users ORDER BY email', does: 'as of the statement itself' },
      { sql: 'EXPLAIN SELECT id FROM users ORDER BY email', does: 'the same' },
      { sql: 'DECLARE c CURSOR FOR SELECT max(email) FROM users', does: 'the same' },
      { sql: "SELECT cursor_to_xml('c', 1, true, true, '')", does: '`FETCH`' },
    ],
  },
  {
    name: 'schemas',
    kind: 'works',
    rows: [
      {
        sql: 'SET search_path = crm, public; SELECT id, email FROM users',
        does: 'tables are found by name in every schema, whatever the path says',
        gives: [
          [1, 'ann@example.org'],
          [2, 'ben@example.org'],
        ],
      },
      {
        sql: "SELECT set_config('search_path', 'crm', true); SELECT buyer FROM orders",
        does: 'what another table of that name holds comes out as it is',
        gives: [['plain']],
      },
      {
        sql: "INSERT INTO crm.orders (id, buyer) VALUES (2, lower('X')); SELECT buyer FROM crm.orders ORDER BY id",
        does: 'with its schema it is another table',
        gives: [['plain'], ['x']],
      },
      {
        sql: "CREATE SCHEMA own; CREATE TABLE own.users (id int, email text); INSERT INTO own.users VALUES (1, 'a'); SELECT email FROM own.users",
        does: 'schemas and tables made on the fly',
        gives: [['a']],
      },
      {
        sql: 'CREATE TEMPORARY TABLE t (id int, note text); INSERT INTO t SELECT id, name FROM users; SELECT u.email FROM users u JOIN t USING (id) ORDER BY id',
        does: 'temporary tables without protected columns',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      {
        sql: 'ALTER ROLE CURRENT_USER SET search_path = crm',
        does: 'settings of roles and functions, for the same reason',
      },
    ],
  },
  {
    name: 'schemas-refused',
    kind: 'refused',
    rows: [
      {
        sql: "CREATE TEMPORARY TABLE users (id int, email bytea); INSERT INTO pg_temp.users (id, email) VALUES (1, 'a')",
        does: 'another name: with that of a protected table it is taken for it',
      },
      { sql: "CREATE TEMPORARY VIEW users AS SELECT 1 AS id, 'a'::bytea AS email", does: 'the same' },
      {
        sql: "CREATE TABLE crm.users AS SELECT 1 AS id, 'a'::bytea AS email; INSERT INTO crm.users SELECT id, email FROM users",
        does: 'nothing would say that the new column is protected',
      },
    ],
  },
  {
    name: 'changes',
    kind: 'works',
    rows: [
      { sql: 'ALTER TABLE users ADD COLUMN age int DEFAULT 1', does: 'the gateway looks at the schema again' },
      {
        sql: 'ALTER TABLE users DROP COLUMN phone',
        does: 'the same; statements that name the table are refused until the configuration fits',
      },
      { sql: 'CREATE INDEX ON users (name) WHERE email IS NOT NULL', does: 'indexes on other columns' },
      { sql: 'CREATE TABLE notes (id int REFERENCES users (id))', does: 'foreign keys to other columns' },
      { sql: 'CREATE VIEW v AS SELECT id, name FROM users', does: 'views without protected columns' },
      {
        sql: "ALTER TABLE users ADD COLUMN age int; COMMIT; INSERT INTO users VALUES (5, 'e@example.org'); SELECT email, age FROM users WHERE id = 5",
        does: 'columns are known after COMMIT',
        committed: 'delete from users where id = 5; alter table users drop column age',
        gives: [['e@example.org', null]],
      },
      { sql: 'ALTER TABLE users RENAME COLUMN name TO full_name', does: 'names of other columns' },
      { sql: "COMMENT ON COLUMN users.email IS 'sealed'", does: 'LOCK, VACUUM, ANALYZE, GRANT, REVOKE as well' },
    ],
  },
  {
    name: 'changes-refused',
    kind: 'refused',
    rows: [
      {
        sql: 'ALTER TABLE users ALTER COLUMN email TYPE text USING email::text',
        does: 'decrypt the column first, with `bawn protect`',
      },
      { sql: "ALTER TABLE users ALTER COLUMN email SET DEFAULT 'x'", does: 'send the value with each INSERT' },
      { sql: 'ALTER TABLE users ADD CHECK (length(email) > 3)', does: 'check in the application' },
      {
        sql: 'ALTER TABLE users ADD UNIQUE (email)',
        does: 'for a searchable field `CREATE UNIQUE INDEX ON users (substr(email, 1, 33))`',
      },
      {
        sql: 'ALTER TABLE users RENAME COLUMN email TO mail',
        does: 'change configuration and database together, with the gateway stopped',
      },
      {
        sql: 'ALTER TABLE users RENAME TO persons',
        does: 'change configuration and database together, with the gateway stopped',
      },
      {
        sql: "ALTER TABLE users ALTER COLUMN name SET DEFAULT 'x', ADD COLUMN l int GENERATED ALWAYS AS (length(email)) STORED",
        does: 'compute in the application',
      },
    ],
  },
  {
    name: 'settings-refused',
    kind: 'refused',
    rows: [
      { sql: "SET client_encoding = 'LATIN1'", does: "`SET client_encoding = 'UTF8'`" },
      { sql: 'SET standard_conforming_strings = off', does: "strings with escapes as `E'…'`" },
      {
        sql: 'SELECT set_config($1, $2, true)',
        does: "the name as a literal: `SELECT set_config('app.user', $1, true)`",
      },
    ],
  },
]
