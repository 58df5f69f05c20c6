import type { Table } from './rows.ts'

// Rows of docs/guide/sql.md; ../sql-guide.test.ts runs them.

export const queries: readonly Table[] = [
  {
    name: 'reading',
    kind: 'works',
    rows: [
      {
        sql: 'SELECT id, email FROM users WHERE id = $1',
        does: '`email` is revealed, masked or NULL, by your role',
        gives: [[1, 'ann@example.org']],
      },
      { sql: 'SELECT * FROM users ORDER BY name LIMIT 10', does: 'protected columns are found whatever the list' },
      {
        sql: 'SELECT u.email AS address FROM public.users AS u',
        does: 'names and aliases do not matter',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      {
        sql: 'SELECT u.email, o.buyer FROM users u JOIN orders o ON o.user_id = u.id',
        does: 'joined by columns that are not protected',
        gives: [
          ['ann@example.org', 'ann@example.org'],
          ['ben@example.org', 'ben@example.org'],
        ],
      },
      {
        sql: 'SELECT d.e FROM (SELECT email AS e FROM users) AS d',
        does: 'through derived tables, also LATERAL',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      {
        sql: 'WITH w AS (SELECT id, email FROM users) SELECT email FROM w ORDER BY id',
        does: 'through WITH',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      { sql: 'TABLE users', does: 'as `SELECT *`' },
      { sql: 'SELECT id FROM users WHERE email IS NOT NULL', does: 'NULL is stored as NULL' },
      { sql: 'SELECT count(email), count(*) FROM users', does: 'counts what is not NULL', gives: [['2', '2']] },
      { sql: 'SELECT name, count(phone) FROM users GROUP BY name', does: 'grouped by a column that is not protected' },
      {
        sql: 'SELECT DISTINCT ON (name) name, email FROM users ORDER BY name, id',
        does: 'only `name` is compared',
        gives: [
          ['ann', 'ann@example.org'],
          ['ben', 'ben@example.org'],
        ],
      },
      {
        sql: 'SELECT email, row_number() OVER (ORDER BY id) FROM users',
        does: 'windows over other columns',
        gives: [
          ['ann@example.org', '1'],
          ['ben@example.org', '2'],
        ],
      },
      { sql: 'SELECT id FROM users UNION SELECT user_id FROM orders', does: 'set operations of other columns' },
      {
        sql: 'SELECT name FROM staff p WHERE EXISTS (SELECT FROM users u WHERE u.id = p.id)',
        does: 'sub-selects that yield nothing protected',
      },
      { sql: 'SELECT email FROM users WHERE id IN (SELECT user_id FROM orders)', does: 'the same' },
      { sql: 'SELECT email FROM users FOR UPDATE SKIP LOCKED', does: 'locks' },
      {
        sql: 'WITH RECURSIVE t AS (SELECT id FROM users UNION ALL SELECT id + 1 FROM t WHERE id < 3) SELECT email FROM users JOIN t USING (id)',
        does: 'recursion over other columns',
      },
      {
        sql: 'SELECT l.email FROM staff s, LATERAL (SELECT email FROM users u WHERE u.id = s.id) AS l',
        does: 'LATERAL sub-selects',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      {
        sql: 'SELECT id, email FROM users GROUP BY id ORDER BY id',
        does: 'grouped by the primary key, on which the rest depends',
        gives: [
          [1, 'ann@example.org'],
          [2, 'ben@example.org'],
        ],
      },
      {
        sql: 'SELECT to_jsonb(s) FROM staff s JOIN users u USING (id)',
        does: 'JSON of rows without protected columns',
      },
    ],
  },
  {
    name: 'reading-refused',
    kind: 'refused',
    rows: [
      { sql: 'SELECT id FROM users WHERE phone = $1', does: 'make the field searchable' },
      {
        sql: "SELECT id FROM users WHERE email LIKE 'a%'",
        does: '`SELECT id FROM users WHERE email = $1`: only equality works',
      },
      {
        sql: 'SELECT id FROM users WHERE lower(email) = $1',
        does: 'store the value in lower case: `SELECT id FROM users WHERE email = $1`',
      },
      {
        sql: 'SELECT id FROM users WHERE email = ANY ($1)',
        does: '`SELECT id FROM users WHERE email IN ($1, $2)`, with a parameter for each value',
      },
      {
        sql: 'SELECT id FROM users WHERE (email, id) = ($1, $2)',
        does: '`SELECT id FROM users WHERE email = $1 AND id = $2`',
      },
      { sql: 'SELECT * FROM users NATURAL JOIN staff', does: '`SELECT * FROM users JOIN staff USING (id)`' },
      {
        sql: 'SELECT email FROM users ORDER BY email',
        does: 'sort in the application; the order of ciphertexts means nothing',
      },
      { sql: 'SELECT email, count(*) FROM users GROUP BY email', does: 'group by a column that is not protected' },
      { sql: 'SELECT DISTINCT email FROM users', does: '`SELECT DISTINCT ON (id) email FROM users`' },
      { sql: 'SELECT max(email) FROM users', does: 'compute in the application' },
      { sql: 'SELECT upper(email) FROM users', does: '`SELECT email FROM users`, and compute in the application' },
      { sql: 'SELECT email::text FROM users', does: '`SELECT email FROM users`: it arrives as text already' },
      {
        sql: "SELECT COALESCE(email, 'none') FROM users",
        does: '`SELECT email FROM users`, and fill in NULL in the application',
      },
      { sql: 'SELECT CASE WHEN id = 1 THEN email END FROM users', does: '`SELECT email FROM users WHERE id = 1`' },
      {
        sql: 'SELECT name, (SELECT email FROM users LIMIT 1) FROM staff',
        does: '`SELECT p.name, u.email FROM staff p LEFT JOIN users u ON u.id = p.id`',
      },
      { sql: 'SELECT u FROM users u', does: '`SELECT u.* FROM users u`' },
      {
        sql: 'SELECT row_to_json(u) FROM users u',
        does: '`SELECT u.id, u.email FROM users u`, and build JSON in the application',
      },
      { sql: 'SELECT array_agg(email) FROM users', does: '`SELECT email FROM users`' },
      {
        sql: 'SELECT d.name FROM (SELECT p.*, u.email FROM staff p, users u) AS d',
        does: '`SELECT d.name FROM (SELECT p.name, u.email FROM staff p, users u) AS d`: `d.f` may be `f(d)`, a function of the whole row',
      },
      { sql: 'SELECT email INTO copy FROM users', does: 'copy in the database, with a login of its own' },
      {
        sql: 'SELECT id FROM orders WHERE buyer = $1',
        does: 'another schema has a table of this name: `SELECT id FROM public.orders WHERE buyer = $1`',
      },
      {
        sql: 'SELECT email FROM users UNION ALL SELECT buyer FROM public.orders',
        does: 'two statements, or a view (below): results of UNION come from no table, so that they are not recognised',
      },
      { sql: 'SELECT u.id FROM users u JOIN users v ON v.phone = u.phone', does: 'make the field searchable' },
      {
        sql: 'SELECT jsonb_agg(u) FROM users u',
        does: '`SELECT id, email FROM users`, and build JSON in the application',
      },
      { sql: 'SELECT (u).email FROM users u', does: '`SELECT u.email FROM users u`' },
      {
        sql: 'SELECT name FROM users WHERE email = (SELECT buyer FROM public.orders WHERE id = 1)',
        does: '`SELECT name FROM users WHERE email IN (SELECT buyer FROM public.orders WHERE id = 1)`',
      },
      { sql: 'SELECT rank() OVER (PARTITION BY email) FROM users', does: 'compute in the application' },
      {
        sql: 'WITH RECURSIVE t AS (SELECT id, email FROM users UNION ALL SELECT id, email FROM t WHERE false) SELECT email FROM t',
        does: '`WITH RECURSIVE t AS (SELECT id FROM users UNION ALL SELECT id FROM t WHERE false) SELECT email FROM users JOIN t USING (id)`',
      },
    ],
  },
  {
    name: 'searching',
    kind: 'works',
    rows: [
      { sql: "SELECT id FROM users WHERE email = 'ann@example.org'", does: 'the hash is compared', gives: [[1]] },
      { sql: 'SELECT id FROM users WHERE email = $1 AND name = $2', does: 'the parameter is replaced by its hash' },
      { sql: 'SELECT id FROM users WHERE email <> $1', does: 'and its opposite' },
      { sql: "SELECT id FROM users WHERE email IN ('a@example.org', $1)", does: 'lists' },
      { sql: "SELECT id FROM users WHERE email NOT IN ('a@example.org')", does: 'and their opposite' },
      { sql: "SELECT id FROM users WHERE email IS DISTINCT FROM 'a@example.org'", does: 'NULL included' },
      {
        sql: 'SELECT u.id FROM users u JOIN staff p ON p.id = u.id AND u.email = $1',
        does: 'also in ON, CASE and the list of results',
      },
      {
        sql: "UPDATE users SET email = 'new@example.org' WHERE email = 'old@example.org'",
        does: 'also in UPDATE and DELETE',
      },
      { sql: 'CREATE UNIQUE INDEX ON users (substr(email, 1, 33))', does: 'unique values, and a fast search' },
      {
        sql: 'SELECT u.id FROM users u JOIN public.orders o ON o.buyer = u.email ORDER BY u.id',
        does: 'columns of the same field, whatever sealed them with the same key',
        gives: [[1], [2]],
      },
      {
        sql: "SELECT id FROM users WHERE email IN (SELECT buyer FROM public.orders WHERE note = 'second')",
        does: 'a sub-select of a column of the same field',
        gives: [[2]],
      },
      { sql: 'SELECT count(DISTINCT email) FROM users', does: 'equal values are counted once', gives: [['2']] },
      {
        sql: 'SELECT count(*) FROM users GROUP BY email',
        does: 'groups, where the column itself is not in the list',
        gives: [['1'], ['1']],
      },
      { sql: 'SELECT DISTINCT ON (email) id, email FROM users', does: 'one row for each value' },
      {
        sql: "SELECT sum(id) FILTER (WHERE email = 'ann@example.org') OVER () FROM users",
        does: 'in FILTER, also of windows',
        gives: [['1'], ['1']],
      },
    ],
  },
  {
    name: 'writing',
    kind: 'works',
    rows: [
      {
        sql: "INSERT INTO users (email, phone) VALUES ($1, $2), ('b@example.org', '123')",
        does: 'values are sealed; any number of rows',
      },
      {
        sql: "INSERT INTO users VALUES (DEFAULT, 'a@example.org')",
        does: 'without a list of columns: it is filled in',
      },
      {
        sql: "INSERT INTO users (email) VALUES ('a@example.org'::text), (CAST($1 AS varchar))",
        does: 'casts to text are left out',
      },
      { sql: "INSERT INTO users (email) VALUES (E'a\\'b'), ($$a$$), (U&'\\0061')", does: 'strings of every kind' },
      { sql: "INSERT INTO users (scan) VALUES ('\\x00ff')", does: 'a field of type `bytes` takes bytea input' },
      { sql: "INSERT INTO users (email, phone) VALUES (NULL, '')", does: 'NULL and empty values stay as they are' },
      {
        sql: 'INSERT INTO users (id, email) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email',
        does: 'upserts by another column',
      },
      {
        sql: "INSERT INTO users (email, name) SELECT $1, 'x' WHERE NOT EXISTS (SELECT FROM users WHERE email = $2)",
        does: 'literals and parameters in INSERT … SELECT',
      },
      {
        sql: 'INSERT INTO public.users (id, email) SELECT user_id + 10, buyer FROM public.orders',
        does: 'a copy of a column of the same field, both tables with their schema',
      },
      {
        sql: "INSERT INTO events VALUES ('2026-05-01', 'ann', 'login')",
        does: 'partitioned tables, and partitions by their own name',
      },
      {
        sql: 'UPDATE users SET email = $1, name = $2 WHERE id = $3 RETURNING *',
        does: 'RETURNING is read like SELECT, with PostgreSQL 18 `old.` and `new.` too',
      },
      { sql: "UPDATE users SET (email, name) = ($1, 'x')", does: 'several at once, with or without ROW' },
      {
        sql: 'UPDATE public.users u SET email = o.buyer FROM public.orders o WHERE o.user_id = u.id',
        does: 'a copy of a column of the same field, both tables with their schema',
      },
      { sql: 'WITH d AS (DELETE FROM users RETURNING id, email) SELECT email FROM d', does: 'WITH that writes' },
      { sql: 'TRUNCATE users', does: 'LOCK, VACUUM, ANALYZE, COMMENT, GRANT, REVOKE as well' },
      {
        sql: "INSERT INTO keys (email, note) VALUES ('ann@example.org', 'new') ON CONFLICT (email) DO UPDATE SET note = EXCLUDED.note RETURNING note",
        does: 'upserts by a searchable field: the unique index over its hash decides; for who may search',
        gives: [['new']],
      },
      {
        sql: "MERGE INTO users u USING staff s ON s.id = u.id WHEN MATCHED THEN UPDATE SET email = 'a@example.org' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.id, $1)",
        does: 'MERGE, with the values written in it',
      },
      {
        sql: 'MERGE INTO public.users u USING public.orders o ON o.user_id = u.id WHEN MATCHED THEN UPDATE SET email = o.buyer',
        does: 'and with those of a column of the same field',
      },
      {
        sql: 'WITH moved AS (DELETE FROM public.orders WHERE id = 1 RETURNING id, buyer) SELECT buyer FROM moved',
        does: 'what WITH deleted or wrote is read',
        gives: [['ann@example.org']],
      },
      {
        sql: "INSERT INTO users (id, email) VALUES (7, 'x@example.org'); UPDATE users SET phone = '1' WHERE id = 7; SELECT email, phone FROM users WHERE id = 7",
        does: 'several statements in one text',
        gives: [['x@example.org', '1']],
      },
    ],
  },
  {
    name: 'writing-refused',
    kind: 'refused',
    rows: [
      {
        sql: 'INSERT INTO users (email) VALUES (lower($1))',
        does: '`INSERT INTO users (email) VALUES ($1)`, computed in the application',
      },
      { sql: "INSERT INTO users (email) VALUES ('a' || $1)", does: '`INSERT INTO users (email) VALUES ($1)`' },
      {
        sql: 'INSERT INTO users (email) VALUES ($1::varchar(20))',
        does: '`INSERT INTO users (email) VALUES ($1)`: casts that may change a value are refused',
      },
      { sql: 'INSERT INTO users (email) SELECT name FROM staff', does: 'read and insert with parameters' },
      {
        sql: 'INSERT INTO users (email) SELECT * FROM unnest($1::text[])',
        does: '`INSERT INTO users (email) VALUES ($1), ($2)`, a parameter for each value',
      },
      {
        sql: 'INSERT INTO users SELECT * FROM users',
        does: '`INSERT INTO public.users (email) SELECT email FROM public.users`, naming the columns',
      },
      {
        sql: "UPDATE users u SET email = v.e FROM (VALUES (1, 'a')) AS v (id, e) WHERE v.id = u.id",
        does: "`UPDATE users SET email = 'a' WHERE id = 1`, one statement for each",
      },
      { sql: 'UPDATE users SET name = email', does: '`UPDATE users SET name = $1`: the ciphertext would be copied' },
      {
        sql: 'INSERT INTO users (email, name) VALUES ($1, $1)',
        does: '`INSERT INTO users (email, name) VALUES ($1, $2)`: one parameter holds one kind of value',
      },
      {
        sql: 'INSERT INTO flags (id) VALUES (1)',
        does: 'the column has a default, which would be stored in clear: `INSERT INTO flags (id, secret) VALUES (1, NULL)`',
      },
      {
        sql: 'UPDATE orders SET buyer = $1',
        does: 'another schema has a table of this name: `UPDATE public.orders SET buyer = $1`',
      },
      {
        sql: 'INSERT INTO users (phone) VALUES ($1) ON CONFLICT (phone) DO NOTHING',
        does: 'use another unique column, or make the field searchable: equal values have different ciphertexts',
      },
      {
        sql: 'MERGE INTO users u USING staff s ON s.id = u.id WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.id, s.name)',
        does: 'read and write with parameters',
      },
      {
        sql: "MERGE INTO users u USING staff s ON s.id = u.id WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'a@example.org')",
        does: "`MERGE INTO users u USING staff s ON s.id = u.id WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.id, 'a@example.org')`",
      },
      {
        sql: 'CREATE TABLE copies AS SELECT id, email FROM users',
        does: '`CREATE TABLE copies AS SELECT id, name FROM users`: nothing would say that the new column is protected',
      },
      {
        sql: 'CREATE TEMPORARY TABLE t AS SELECT * FROM users',
        does: '`CREATE TEMPORARY TABLE t AS SELECT id, name FROM users`, and join: `SELECT u.email FROM users u WHERE u.id = 1`',
      },
      { sql: 'SELECT id, email INTO copies FROM users', does: '`SELECT id, name INTO copies FROM users`' },
      {
        sql: 'CREATE TEMPORARY TABLE t (email bytea); INSERT INTO t SELECT email FROM users',
        does: 'declare the columns of the other table too',
      },
    ],
  },
]
