import type { Table } from './rows.ts'

// Rows of docs/guide/sql.md; ../sql-guide.test.ts runs them.

export const objects: readonly Table[] = [
  {
    name: 'views',
    kind: 'works',
    rows: [
      {
        sql: 'SELECT * FROM user_list',
        does: 'a view: a column that is nothing but a protected column is one itself',
        gives: [
          [1, 'ann@example.org'],
          [2, 'ben@example.org'],
        ],
      },
      {
        sql: "SELECT address FROM user_addresses WHERE address = 'ben@example.org'",
        does: 'under any name, through views over views',
        gives: [['ben@example.org']],
      },
      {
        sql: "INSERT INTO user_list (id, email) VALUES (3, 'cid@example.org')",
        does: 'views that PostgreSQL can write through are written as their table',
      },
      {
        sql: "UPDATE user_list SET email = $1 WHERE email = 'ann@example.org' RETURNING id, email",
        does: 'the same',
        gives: [[1, '1']],
      },
      {
        sql: 'SELECT who FROM everybody ORDER BY id, what',
        does: 'UNION ALL in a view, where both sides are of the same field',
        gives: [['ann@example.org'], ['ann@example.org'], ['ben@example.org'], ['ben@example.org']],
      },
      {
        sql: 'SELECT id, name, missing FROM user_gaps',
        does: 'views that count, or look for NULL, and yield nothing protected',
        gives: [
          [1, 'ann', false],
          [2, 'ben', false],
        ],
      },
      {
        sql: 'SELECT email FROM user_copies ORDER BY id',
        does: 'a materialized view holds the same ciphertext',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      { sql: 'REFRESH MATERIALIZED VIEW user_copies', does: 'the database copies ciphertext' },
      {
        sql: "INSERT INTO user_entry (number, mail) VALUES (8, 'dan@example.org')",
        does: 'a rule DO INSTEAD that hands protected values on to columns of the same field',
      },
      {
        sql: 'CREATE VIEW v AS SELECT id, email AS mail FROM users; COMMIT; SELECT mail FROM v ORDER BY id',
        does: 'a view made through the gateway, known after COMMIT',
        committed: 'drop view v',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      {
        sql: 'CREATE MATERIALIZED VIEW m AS SELECT id, email FROM users; COMMIT; SELECT email FROM m ORDER BY id',
        does: 'and a materialized one',
        committed: 'drop materialized view m',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      {
        sql: 'ALTER VIEW user_list RENAME TO list; COMMIT; SELECT email FROM list ORDER BY id',
        does: 'names of views are free',
        committed: 'alter view list rename to user_list',
        gives: [['ann@example.org'], ['ben@example.org']],
      },
      {
        sql: "INSERT INTO flag_notes (number, note) VALUES (1, 'open'); SELECT note FROM flag_notes",
        does: 'a view over a protected column with a default: it is given a value',
        gives: [['open']],
      },
      { sql: 'UPDATE flag_list SET id = 2', does: 'or left as it is' },
      { sql: 'SELECT number FROM flag_numbers', does: 'a view without that column is read', gives: [] },
      {
        sql: 'SELECT id, name FROM user_names',
        does: 'a view without protected columns',
        gives: [
          [1, 'ann'],
          [2, 'ben'],
        ],
      },
    ],
  },
  {
    name: 'views-refused',
    kind: 'refused',
    rows: [
      {
        sql: 'SELECT id FROM user_lengths',
        does: 'a view that computes with a protected column: `SELECT id, email FROM users`',
      },
      {
        sql: 'SELECT who FROM mixture',
        does: 'a view whose UNION joins a protected column with another: `SELECT who FROM everybody`',
      },
      {
        sql: 'CREATE VIEW v AS SELECT lower(email) AS email FROM users',
        does: '`CREATE VIEW v AS SELECT email FROM users`',
      },
      {
        sql: "CREATE VIEW v AS SELECT id FROM users WHERE email = 'ann@example.org'",
        does: 'a view keeps its text, and the value would stand in it: search when it is read',
      },
      {
        sql: 'CREATE TEMPORARY VIEW v AS SELECT id, email FROM users',
        does: '`WITH v AS (SELECT id, email FROM users) SELECT email FROM v`',
      },
      {
        sql: 'CREATE VIEW v AS SELECT email FROM users; SELECT email FROM v',
        does: 'two texts: a view is known when its transaction has ended',
      },
      {
        sql: "INSERT INTO staff_entry (name) VALUES ('x')",
        does: 'a rule that would store the value in a protected column as it is: `INSERT INTO users (email) VALUES ($1)`',
      },
      {
        sql: 'INSERT INTO flag_list (id) VALUES (1)',
        does: 'the column beneath has a default, which would be stored in clear: `INSERT INTO flag_list (id, secret) VALUES (1, NULL)`',
      },
      {
        sql: 'INSERT INTO flag_notes (number) VALUES (1)',
        does: 'the same through views over views, under any name: `INSERT INTO flag_notes (number, note) VALUES (1, NULL)`',
      },
      {
        sql: 'INSERT INTO flag_numbers (number) VALUES (1)',
        does: 'the view has no such column, and nothing is written through it: `INSERT INTO flags (id, secret) VALUES (1, NULL)`',
      },
      {
        sql: 'MERGE INTO flag_ids f USING staff s ON s.id = f.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)',
        does: 'the same: `MERGE INTO flags f USING staff s ON s.id = f.id WHEN NOT MATCHED THEN INSERT (id, secret) VALUES (s.id, NULL)`',
      },
      {
        sql: 'CREATE VIEW v AS SELECT id FROM flags; INSERT INTO v (id) VALUES (1)',
        does: 'two texts, as above; then it is refused like the others',
      },
      {
        sql: 'CREATE TEMPORARY VIEW v AS SELECT id FROM flags',
        does: '`WITH v AS (SELECT id FROM flags) SELECT id FROM v`',
      },
      {
        sql: 'CREATE RULE r AS ON INSERT TO staff DO ALSO INSERT INTO users (email) VALUES (NEW.name::bytea)',
        does: 'in the database, with a login of its own',
      },
    ],
  },
  {
    name: 'partitions',
    kind: 'works',
    rows: [
      {
        sql: "INSERT INTO events_2026 VALUES ('2026-05-01', 'ann@example.org', 'login'); SELECT who FROM events_2026 WHERE what = 'login' AND at > '2026-03-01'",
        does: 'a partition by its own name',
        gives: [['ann@example.org']],
      },
      { sql: 'SELECT who FROM ONLY events', does: 'and the parent alone', gives: [] },
      {
        sql: "CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'); COMMIT; INSERT INTO events_2027 VALUES ('2027-05-01', 'ann@example.org', 'login'); SELECT who FROM events_2027",
        does: 'a partition made through the gateway, known after COMMIT',
        committed: 'drop table events_2027',
        gives: [['ann@example.org']],
      },
      {
        sql: "CREATE TABLE later (LIKE events); ALTER TABLE events ATTACH PARTITION later FOR VALUES FROM ('2028-01-01') TO ('2029-01-01'); COMMIT; INSERT INTO later VALUES ('2028-05-01', 'ann@example.org', 'login'); SELECT who FROM later",
        does: 'or attached',
        committed: 'drop table later',
        gives: [['ann@example.org']],
      },
      {
        sql: "CREATE TABLE guests (room int) INHERITS (users); COMMIT; INSERT INTO guests (id, email, room) VALUES (9, 'guest@example.org', 1); SELECT email FROM users WHERE id = 9",
        does: 'children by inheritance',
        committed: 'drop table guests',
        gives: [['guest@example.org']],
      },
      { sql: 'DROP TABLE events_2026', does: 'a partition with all its rows' },
    ],
  },
  {
    name: 'partitions-refused',
    kind: 'refused',
    rows: [
      {
        sql: "CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'); INSERT INTO events_2027 VALUES ('2027-05-01', 'ann', 'login')",
        does: 'two texts, with COMMIT between them',
      },
      {
        sql: 'ALTER TABLE events DETACH PARTITION events_2026',
        does: 'its columns would no longer be protected: declare them first, then detach it in the database',
      },
      { sql: 'ALTER TABLE users INHERIT staff', does: 'a parent that is not protected: declare its columns first' },
    ],
  },
  {
    name: 'functions',
    kind: 'works',
    rows: [
      { sql: 'SELECT user_count()', does: 'functions of the database run as they are', gives: [['2']] },
      {
        sql: 'SELECT email_of(1)',
        does: 'what they return of a protected column is ciphertext, never a value',
        ciphertext: true,
      },
      { sql: 'SELECT * FROM users_of(1)', does: 'also as a table', ciphertext: true },
      {
        sql: "INSERT INTO watched (id, email) VALUES (1, 'eve@example.org'); SELECT email FROM watched",
        does: 'triggers see ciphertext, and may keep or copy it',
        gives: [['eve@example.org']],
      },
      {
        sql: "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(email) FROM users WHERE name IS NOT NULL'",
        does: 'in SQL, where the same statement would be permitted and yields nothing protected',
      },
      {
        sql: "CREATE FUNCTION f(n int) RETURNS void BEGIN ATOMIC UPDATE users SET name = 'x' WHERE id = n; DELETE FROM users WHERE id = n; END",
        does: 'and in the newer form',
      },
      {
        sql: "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END'",
        does: 'PL/pgSQL that names no protected table and puts no SQL together',
      },
      { sql: "DO $$ BEGIN UPDATE staff SET name = 'x'; END $$", does: 'the same of DO' },
      {
        sql: 'CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION keep_row()',
        does: 'triggers whose conditions leave protected columns alone',
      },
    ],
  },
  {
    name: 'functions-refused',
    kind: 'refused',
    rows: [
      {
        sql: "CREATE FUNCTION f() RETURNS bytea LANGUAGE sql AS 'SELECT email FROM users'",
        does: 'in the database, with a login of its own; through the gateway it then returns ciphertext',
      },
      {
        sql: "CREATE FUNCTION f(e text) RETURNS void LANGUAGE sql AS 'UPDATE users SET email = $1'",
        does: '`UPDATE users SET email = $1`: what a function gets is not sealed',
      },
      {
        sql: "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(id) FROM users); END'",
        does: "`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT max(id) FROM users'`",
      },
      {
        sql: "CREATE FUNCTION f(t text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE t; END'",
        does: 'in the database: SQL that is put together may name any table',
      },
      { sql: 'DO $$ BEGIN UPDATE users SET email = NULL; END $$', does: 'the statements one by one' },
      { sql: "DO $$ BEGIN EXECUTE 'DELETE FROM us' || 'ers'; END $$", does: 'the same' },
      { sql: 'SELECT email_length(u) FROM users u', does: 'a function of the whole row: name the columns it needs' },
      {
        sql: "SELECT query_to_xml('SELECT email FROM users', true, true, '')",
        does: '`SELECT email FROM users`, and build XML in the application',
      },
      {
        sql: "SELECT * FROM ts_stat('SELECT x FROM us' || 'ers')",
        does: 'functions that run SQL in a text: the text as a literal without protected tables',
      },
      {
        sql: "SELECT ts_rewrite('a'::tsquery, 'SELECT t, s FROM users')",
        does: "`SELECT ts_rewrite('a'::tsquery, 'a'::tsquery, 'b'::tsquery)`",
      },
      { sql: "SELECT ('SELECT x FROM us' || 'ers').ts_stat", does: 'the same by another name' },
    ],
  },
]
