import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDecider } from './decide.fixture.ts'

const learning = { learn: { file: 'unused' } }

const rows: readonly (readonly [sql: string, shape: string | undefined])[] = [
  ['SELECT 1', 'SELECT %%VALUE%%'],
  ["select  a from t where b='x' -- c", 'select a from t where b=%%VALUE%%'],
  ['SELECT a FROM t WHERE b = -5', 'SELECT a FROM t WHERE b = %%VALUE%%'],
  ['SELECT a FROM t WHERE b = $1 AND c > 2.5e3', 'SELECT a FROM t WHERE b = %%VALUE%% AND c > %%VALUE%%'],
  ["SELECT a FROM t WHERE b = E'\\'' || $$x$$", 'SELECT a FROM t WHERE b = %%VALUE%% || %%VALUE%%'],
  ["SELECT a FROM t WHERE b = U&'!0061' UESCAPE '!' AND c", 'SELECT a FROM t WHERE b = %%VALUE%% AND c'],
  ["SELECT 'a'\n'b'", 'SELECT %%VALUE%%'],
  ['SELECT a FROM t WHERE b IN (1, 2, 3)', 'SELECT a FROM t WHERE b IN (%%LIST_OF_VALUES%%)'],
  ['SELECT a FROM t WHERE b IN (1, c)', 'SELECT a FROM t WHERE b IN (%%VALUE%%, c)'],
  ["INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')", 'INSERT INTO t (a, b) VALUES (%%LIST_OF_VALUES%%)'],
  ['INSERT INTO t (a, b) VALUES (1, DEFAULT)', 'INSERT INTO t (a, b) VALUES (%%VALUE%%, DEFAULT)'],
  ['INSERT INTO t VALUES (1), (now())', 'INSERT INTO t VALUES (%%VALUE%%), (now())'],
  ["UPDATE t SET a = 'x' WHERE id = 7 RETURNING *", 'UPDATE t SET a = %%VALUE%% WHERE id = %%VALUE%% RETURNING *'],
  ['SELECT a::numeric(10, 2) FROM t LIMIT 5', 'SELECT a::numeric(10, 2) FROM t LIMIT %%VALUE%%'],
  ["SELECT date '2026-01-01', '1'::varchar(20)", 'SELECT %%VALUE%%, %%VALUE%%::varchar(20)'],
  ["SELECT now() - interval '3 days'", 'SELECT now() - %%VALUE%%'],
  ["SELECT CAST('x' AS text)", 'SELECT CAST(%%VALUE%% AS text)'],
  ['SELECT "Odd ""name" FROM U&"\\0074"', 'SELECT "Odd ""name" FROM U&"\\0074"'],
  ["DECLARE c CURSOR FOR SELECT 'x'", 'DECLARE c CURSOR FOR SELECT %%VALUE%%'],
  ["EXPLAIN SELECT 'x'", 'EXPLAIN SELECT %%VALUE%%'],
  ["SELECT true, NULL, B'01', X'ff', 0xff", 'SELECT %%VALUE%%, %%VALUE%%, %%VALUE%%, %%VALUE%%, %%VALUE%%'],
  ["SELECT interval '1' day", undefined],
  ['FETCH 77 FROM c', undefined],
  ["SET a.b = 'secret'", undefined],
  ["CREATE ROLE x PASSWORD 'secret'", undefined],
  ["COPY t TO STDOUT (DELIMITER ',')", undefined],
  ["COMMENT ON TABLE t IS 'secret'", undefined],
  ["DO 'secret'", undefined],
  ["NOTIFY c, 'secret'", undefined],
  ["SELECT xmlelement(name x, 'secret')", 'SELECT xmlelement(name x, %%VALUE%%)'],
  [`SELECT ${Array.from({ length: 9_000 }, () => 'ab').join(', ')}`, undefined],
]

test('a shape has no value, and matches what it was made of', async () => {
  const decider = await createDecider(learning)
  for (const [sql, shape] of rows) assert.deepEqual(await decider.shapes(sql), [shape], sql)
  assert.deepEqual(await decider.shapes("SELECT 'é€', 1; INSERT INTO t VALUES ('ü') ;"), [
    'SELECT %%VALUE%%, %%VALUE%%',
    'INSERT INTO t VALUES (%%LIST_OF_VALUES%%)',
  ])
  await decider.close()
})

test('a rule made of a shape allows the statement', async () => {
  for (const [sql, shape] of rows) {
    if (shape === undefined) continue
    const decider = await createDecider({ rules: [{ name: 'q', action: 'allow', queries: [shape] }] })
    assert.equal(await decider.decide(sql), 'allow q', sql)
    await decider.close()
  }
})

test('property: wherever a value stands, it is in no shape', async () => {
  const decider = await createDecider(learning)
  const secrets = [
    "'s3cret'",
    "E's3cret'",
    '$$s3cret$$',
    '$s3cret$x$s3cret$',
    "U&'s3cret'",
    "N's3cret'",
    '770077',
    '-770077',
    '77e0077',
    "X'770077'",
  ]
  const places = [
    'SELECT ~',
    'SELECT a FROM t WHERE b = ~ OR c LIKE ~ ESCAPE ~',
    'SELECT a FROM t WHERE b BETWEEN ~ AND ~ ORDER BY c LIMIT ~ OFFSET ~',
    'SELECT f(~, x => ~) FROM g(~) AS h(i int) TABLESAMPLE system (~)',
    'SELECT CASE ~ WHEN ~ THEN ~ ELSE ~ END, ARRAY[~, a], (~, ~), a[~], a[~:~]',
    'SELECT a::varchar(20), CAST(~ AS text), ~::text, text ~, substring(~ from ~ for ~), extract(year from ~)',
    'SELECT * FROM t, LATERAL (VALUES (~), (~)) v, JSON_TABLE(a, ~ COLUMNS (b int PATH ~))',
    'SELECT JSON_VALUE(a, ~ DEFAULT ~ ON EMPTY), xmlelement(name x, xmlattributes(~ as y), ~)',
    'SELECT a COLLATE "C", a AT TIME ZONE ~, interval ~ day, row_number() OVER (ORDER BY ~ ROWS ~ PRECEDING)',
    'INSERT INTO t (a) VALUES (~), (DEFAULT), ((SELECT ~)) ON CONFLICT (a) DO UPDATE SET a = ~ WHERE t.b = ~ RETURNING ~',
    'UPDATE t SET a = ~, (b, c) = (~, ~) FROM u WHERE u.d = ~',
    'DELETE FROM t USING u WHERE a IN (~, ~) AND b = ANY (ARRAY[~])',
    'MERGE INTO t USING u ON t.a = ~ WHEN MATCHED AND u.b = ~ THEN UPDATE SET a = ~ WHEN NOT MATCHED THEN INSERT VALUES (~)',
    'WITH w AS (SELECT ~) SEARCH DEPTH FIRST BY a SET b SELECT * FROM w',
    'DECLARE c CURSOR FOR SELECT ~',
    'EXPLAIN (ANALYZE ~) SELECT ~',
    'EXPLAIN SELECT ~',
  ]
  let kept = 0
  for (const place of places) {
    for (const secret of secrets) {
      for (const shape of await decider.shapes(place.replaceAll('~', secret))) {
        if (shape === undefined) continue
        kept++
        assert.doesNotMatch(shape, /s3cret|770077|77e0077/, `${place} with ${secret}`)
      }
    }
  }
  assert.ok(kept > 40, String(kept))
  await decider.close()
})
