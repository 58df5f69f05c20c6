import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDecider } from './decide.fixture.ts'

const options = {
  default: 'allow',
  trusted_functions: ['public.either', 'crm.either'],
  columns: [
    { name: 'pay', table: 'public.people', columns: ['salary', 'Iban'], read: ['billing'] },
    { name: 'state', table: 'crm.deals', columns: ['state'], read: ['billing', 'support'], write: ['billing'] },
  ],
}

const pass = 'allow no rule matches'
type Rows = readonly (readonly [sql: string, expected: string])[]

/** For support, who may read the state of a deal and nothing else of what rules are about. */
const rows: Rows = [
  ['SELECT 1', pass],
  ['SELECT name FROM people', pass],
  ['SELECT p.name FROM public.people AS p WHERE p.id = $1 ORDER BY p.name', pass],
  ['SELECT count(*) FROM people', pass],
  ['SELECT iban FROM people', pass],
  ['SELECT salary FROM notes', pass],
  ['SELECT * FROM notes', pass],
  ['SELECT salary FROM people', 'deny pay'],
  ['SELECT SALARY FROM PEOPLE', 'deny pay'],
  ['SELECT "salary" FROM people', 'deny pay'],
  ['SELECT U&"sal\\0061ry" FROM people', 'deny pay'],
  ['SELECT "Iban" FROM people', 'deny pay'],
  ['SELECT p.salary FROM people p', 'deny pay'],
  ['SELECT public.people.salary FROM people', 'deny pay'],
  ['SELECT people.salary + 1 AS x FROM people', 'deny pay'],
  ['SELECT name AS salary FROM people', pass],
  ['SELECT name FROM people WHERE salary > 1', 'deny pay'],
  ['SELECT name FROM people ORDER BY salary', 'deny pay'],
  ['SELECT name FROM people GROUP BY name, salary', 'deny pay'],
  ['SELECT name FROM people GROUP BY name HAVING max(salary) > 1', 'deny pay'],
  ['SELECT row_number() OVER (ORDER BY salary) FROM people', 'deny pay'],
  ['SELECT name FROM people LIMIT (SELECT max(salary) FROM people)', 'deny pay'],
  ['SELECT DISTINCT ON (salary) name FROM people', 'deny pay'],
  ['SELECT n.id FROM notes n JOIN people p ON p.salary = n.id', 'deny pay'],
  ['SELECT n.id FROM notes n JOIN people p USING (salary)', 'deny pay'],
  ['SELECT n.id FROM notes n JOIN people p USING (id)', pass],
  ['SELECT n.id FROM notes n NATURAL JOIN people p', 'deny pay'],
  ['SELECT * FROM people', 'deny pay'],
  ['SELECT p.* FROM people p', 'deny pay'],
  ['TABLE people', 'deny pay'],
  ['SELECT count(p.*) FROM people p', 'deny pay'],
  ['SELECT p FROM people p', 'deny pay'],
  ['SELECT people FROM people', 'deny pay'],
  ['SELECT public.people FROM people', 'deny pay'],
  ['SELECT (p).salary FROM people p', 'deny pay'],
  ['SELECT (p).* FROM people p', 'deny pay'],
  ['SELECT ((p)).name FROM people p', 'deny pay'],
  ['SELECT row_to_json(p) FROM people p', 'deny pay'],
  ['SELECT to_jsonb(people) FROM people', 'deny pay'],
  ['SELECT salary(p) FROM people p', 'deny pay'],
  ['SELECT p::text FROM people p', 'deny pay'],
  ['SELECT j FROM (people JOIN notes USING (id)) AS j', 'deny pay'],
  ['SELECT j.x FROM (people p JOIN notes n ON true) AS j (x, y, z)', 'deny pay'],
  ['SELECT x.c FROM people AS x (a, b, c)', 'deny pay'],
  ['SELECT name FROM people ORDER BY people', 'deny pay'],
  ['SELECT d.a FROM (SELECT id FROM people) AS d (a)', pass],
  ['SELECT d FROM (SELECT id FROM people) AS d', pass],
  ['SELECT * FROM (SELECT id FROM people) AS d', 'deny pay'],
  ['WITH w AS (SELECT * FROM people) SELECT name FROM w', 'deny pay'],
  ['WITH w (a, b, c) AS (TABLE people) SELECT c FROM w', 'deny pay'],
  ['WITH w AS (SELECT salary FROM people) SELECT 1', 'deny pay'],
  ['SELECT EXISTS (SELECT FROM people WHERE salary = 1)', 'deny pay'],
  ['SELECT EXISTS (SELECT FROM people WHERE id = 1)', pass],
  ['SELECT id FROM people UNION SELECT salary FROM people', 'deny pay'],
  ['VALUES ((SELECT salary FROM people))', 'deny pay'],
  ['SELECT id FROM names', 'deny pay'],
  ['SELECT total FROM totals', 'deny pay'],
  ['SELECT most_common_vals FROM pg_stats', 'deny pay'],
  ['SELECT relname FROM pg_class', pass],
  ["SELECT query_to_xml('table people', true, true, '')", 'deny pay'],
  ['SELECT total(1)', 'deny pay'],
  ['SELECT either(1)', pass],
  ["DO 'x'", 'deny pay'],
  ['CALL x()', 'deny pay'],
  ['COPY people TO STDOUT', 'deny pay'],
  ['COPY people (name, salary) TO STDOUT', 'deny pay'],
  ['COPY people (id, name) TO STDOUT', pass],
  ['COPY (SELECT salary FROM people) TO STDOUT', 'deny pay'],
  ['COPY people FROM STDIN', 'deny pay'],
  ['COPY people (id) FROM STDIN', pass],
  ['COPY people (id) FROM STDIN WHERE salary > 1', 'deny pay'],
  ['EXPLAIN SELECT salary FROM people', 'deny pay'],
  ['PREPARE p AS SELECT salary FROM people', 'deny pay'],
  ['DECLARE c CURSOR FOR SELECT salary FROM people', 'deny pay'],
  ['INSERT INTO people (id, name) VALUES (1, $1)', pass],
  ['INSERT INTO people VALUES (1)', 'deny pay'],
  ['INSERT INTO people DEFAULT VALUES', pass],
  ['INSERT INTO people (id, salary) VALUES (1, 2)', 'deny pay'],
  ['INSERT INTO people (id) VALUES (1) RETURNING *', 'deny pay'],
  ['INSERT INTO people (id) VALUES (1) RETURNING salary', 'deny pay'],
  ['INSERT INTO people (id) VALUES (1) RETURNING id', pass],
  ['INSERT INTO people (id) VALUES (1) RETURNING new', 'deny pay'],
  ['INSERT INTO people (id) VALUES (1) RETURNING WITH (NEW AS n) n', 'deny pay'],
  ['INSERT INTO people (id) VALUES (1) ON CONFLICT (salary) DO NOTHING', 'deny pay'],
  ['INSERT INTO people (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET salary = 1', 'deny pay'],
  ['INSERT INTO people (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.salary', 'deny pay'],
  ['INSERT INTO people (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = people.name', pass],
  ['INSERT INTO notes SELECT salary FROM people', 'deny pay'],
  ['UPDATE people SET name = $1 WHERE id = $2', pass],
  ['UPDATE people SET salary = 1', 'deny pay'],
  ['UPDATE people SET (name, salary) = ($1, $2)', 'deny pay'],
  ['UPDATE people SET name = salary', 'deny pay'],
  ['UPDATE people SET name = 1 RETURNING old.salary', 'deny pay'],
  ['UPDATE people SET name = 1 RETURNING old', 'deny pay'],
  ['UPDATE notes SET body = salary FROM people', 'deny pay'],
  ['DELETE FROM people WHERE salary = 1', 'deny pay'],
  ['DELETE FROM people WHERE id = 1', pass],
  ['DELETE FROM people RETURNING people', 'deny pay'],
  ['MERGE INTO people p USING notes n ON p.id = n.id WHEN MATCHED THEN UPDATE SET salary = 1', 'deny pay'],
  ['MERGE INTO people p USING notes n ON p.id = n.id WHEN NOT MATCHED THEN INSERT VALUES (1)', 'deny pay'],
  ['MERGE INTO people p USING notes n ON p.id = n.id WHEN NOT MATCHED THEN INSERT (id) VALUES (1)', pass],
  ['MERGE INTO people p USING notes n ON p.salary = n.id WHEN MATCHED THEN DELETE', 'deny pay'],
  ['ALTER TABLE people RENAME COLUMN salary TO name2', 'deny pay'],
  ['ALTER TABLE people ADD COLUMN x int', 'deny pay'],
  ['CREATE INDEX ON people (name)', 'deny pay'],
  ['CREATE VIEW v AS SELECT name FROM people', 'deny pay'],
  ['CREATE TABLE t AS SELECT name FROM people', 'deny pay'],
  ['CREATE TABLE t (LIKE people)', 'deny pay'],
  ['DROP TABLE people', 'deny pay'],
  ['TRUNCATE people', pass],
  ['LOCK people', pass],
  ['SELECT name FROM people; SELECT salary FROM people', 'deny pay'],
  ['SELECT state FROM crm.deals', pass],
  ['SELECT * FROM crm.deals', pass],
  ["UPDATE crm.deals SET state = 'x'", 'deny state'],
  ["UPDATE crm.deals SET id = 1 WHERE state = 'x'", pass],
  ['INSERT INTO crm.deals VALUES (1)', 'deny state'],
  ['INSERT INTO crm.deals (id) VALUES (1)', pass],
]

test('columns: who may not read or write one cannot use it anywhere', async () => {
  const decider = await createDecider(options)
  const wrong: string[] = []
  for (const [sql, expected] of rows) {
    const found = await decider.decide(sql, 'support')
    if (found !== expected) wrong.push(`${sql}\n    found    ${found}\n    expected ${expected}`)
  }
  assert.equal(wrong.length, 0, wrong.join('\n'))
  // Whoever may do both is asked nothing.
  for (const [sql] of rows) assert.equal(await decider.decide(sql, 'billing'), pass, sql)
  for (const [sql, expected] of rows.filter(([, one]) => one === 'deny pay'))
    assert.equal(await decider.decide(sql), expected, sql)
  assert.equal(await decider.decide('SELECT state FROM crm.deals'), 'deny state')
  await decider.close()
})

test('columns: what is not understood is refused whatever unreadable says', async () => {
  const decider = await createDecider({ ...options, unreadable: 'allow' })
  assert.equal(await decider.decide('SELECT salary FORM people', 'support'), 'deny pay')
  assert.equal(await decider.decide('SELECT salary FORM people', 'billing'), 'allow unreadable')
  await decider.close()
})
