import type { Table } from './rows.ts'

// Rows of docs/guide/sql.md about COPY; ../sql-guide.test.ts runs them.

export const copies: readonly Table[] = [
  {
    name: 'copying-out',
    kind: 'copied-out',
    rows: [
      {
        sql: 'COPY keys TO STDOUT',
        does: "the columns' names are written in, so that the database goes by them",
        data: 'ann@example.org\told\n',
      },
      {
        sql: 'COPY users (id, email) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE (email))',
        does: 'text, CSV or binary, with their options',
        data: 'id,email\n1,"ann@example.org"\n2,"ben@example.org"\n',
      },
      {
        sql: "COPY (SELECT id, email FROM users WHERE email = 'ann@example.org') TO STDOUT",
        does: 'a query, of columns that stand by themselves',
        data: '1\tann@example.org\n',
      },
      {
        sql: 'COPY (DELETE FROM users WHERE id = 2 RETURNING id, email) TO STDOUT',
        does: 'also one that writes',
        data: '2\tben@example.org\n',
      },
      {
        sql: 'COPY (SELECT address FROM user_addresses ORDER BY id) TO STDOUT',
        does: 'views',
        data: 'ann@example.org\nben@example.org\n',
      },
      {
        sql: 'COPY (SELECT who FROM events_2026 ORDER BY at) TO STDOUT',
        does: 'partitions and children',
        data: 'ann@example.org\nben@example.org\n',
      },
      {
        sql: 'COPY events_2026 TO STDOUT',
        does: 'by their own name too',
        data: '2026-01-01\tann@example.org\tvisit\n2026-02-01\tben@example.org\tvisit\n',
      },
    ],
  },
  {
    name: 'copying-in',
    kind: 'copied-in',
    rows: [
      {
        sql: 'COPY users (id, email) FROM STDIN',
        does: 'cells of protected columns are sealed, the others are forwarded as they are',
        data: '7\tx@example.org\n8\t\\N\n',
        reads: 'SELECT id, email FROM users WHERE id > 2 ORDER BY id',
        gives: [
          ['7', 'x@example.org'],
          ['8', undefined],
        ],
      },
      {
        sql: "COPY users FROM STDIN (FORMAT csv, DELIMITER ';', NULL 'none', HEADER match)",
        does: 'quotes, escapes, what stands for NULL: all as the database reads it',
        data: 'id;email;phone;scan;name;joined\n7;"x;""y""";none;none;xen;2026-01-01\n',
        reads: 'SELECT email, phone, name FROM users WHERE id = 7',
        gives: [['x;"y"', undefined, 'xen']],
      },
      {
        sql: 'COPY users (email) FROM STDIN (FORMAT binary)',
        does: "the value's bytes: text in UTF-8, or those of a field of type `bytes`",
        data: 'PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x03x@y\xff\xff',
        reads: "SELECT email FROM users WHERE email = 'x@y'",
        gives: [['x@y']],
      },
      {
        sql: 'COPY users (id, email) FROM STDIN WHERE id > 100',
        does: 'conditions on other columns',
        data: '7\tx@example.org\n107\ty@example.org\n',
        reads: 'SELECT id, email FROM users WHERE id > 2',
        gives: [['107', 'y@example.org']],
      },
      {
        sql: 'COPY events FROM STDIN',
        does: 'partitioned tables',
        data: '2026-05-01\tx@example.org\tlogin\n',
        reads: "SELECT who FROM events_2026 WHERE what = 'login'",
        gives: [['x@example.org']],
      },
      {
        sql: 'COPY events_2026 FROM STDIN',
        does: 'and partitions and children by their own name',
        data: '2026-05-01\tx@example.org\tlogin\n',
        reads: "SELECT who FROM events WHERE who = 'x@example.org'",
        gives: [['x@example.org']],
      },
    ],
  },
  {
    name: 'copying-refused',
    kind: 'refused',
    rows: [
      {
        sql: "COPY users TO '/tmp/users'",
        does: '`COPY users TO STDOUT`: a file or a program of the server is past the gateway; `\\copy` of psql is not',
      },
      {
        sql: 'COPY (SELECT p.*, u.email FROM staff p, users u) TO STDOUT',
        does: '`COPY (SELECT p.name, u.email FROM staff p, users u) TO STDOUT`: which place `email` has must be told from the statement',
      },
      {
        sql: 'COPY orders TO STDOUT',
        does: 'another schema has a table of this name: `COPY public.orders TO STDOUT`',
      },
      {
        sql: 'COPY (SELECT id FROM user_lengths) TO STDOUT',
        does: 'a view that computes with a protected column: `COPY (SELECT id, email FROM users) TO STDOUT`',
      },
      { sql: 'COPY users FROM STDIN WHERE email IS NOT NULL', does: 'choose the rows before they are sent' },
      {
        sql: "COPY users FROM STDIN (DEFAULT 'd')",
        does: 'rows without marks for defaults: the database would store one in clear',
      },
      {
        sql: 'COPY flags (id) FROM STDIN',
        does: 'name the column that has a default, and send a value or NULL for it',
      },
      {
        sql: 'COPY staff_entry FROM STDIN',
        does: 'a view with a rule that would store the value as it is: copy into the table',
      },
    ],
  },
]
