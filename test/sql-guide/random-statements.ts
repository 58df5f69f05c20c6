// Statements made of pieces of SQL over the tables of shop.ts: most are valid, some mean nothing.

export interface Generator {
  query(): string
  /** INSERT, UPDATE, DELETE or MERGE. */
  write(): string
}

type Piece = string | (() => string)

export function createGenerator(start: number): Generator {
  let seed = start
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return (seed >> 8) % below
  }
  const pick = (...items: readonly Piece[]): string => {
    const item = items[random(items.length)] ?? ''
    return typeof item === 'string' ? item : item()
  }

  const email = () => pick("'ann@example.org'", "'ben@example.org'", "'nobody@example.org'", 'NULL')
  /** Relations that have `id` and a protected column; that column's name. */
  const tables: readonly (readonly [string, string])[] = [
    ['users', 'email'],
    ['users', 'phone'],
    ['public.users', 'email'],
    ['user_list', 'email'],
    ['user_addresses', 'address'],
    ['public.orders', 'buyer'],
    ['everybody', 'who'],
    ['user_copies', 'email'],
  ]

  function predicate(table: string, column: string, depth: number): string {
    const own = `${table}.${column}`
    return pick(
      () => `${own} = ${email()}`,
      () => `${own} <> ${email()}`,
      () => `${own} IN (${email()}, ${email()})`,
      () => `${own} IS DISTINCT FROM ${email()}`,
      `${own} IS NOT NULL`,
      `${table}.id = 1`,
      `${table}.id > ${random(3)}`,
      `${table}.id IN (SELECT user_id FROM public.orders)`,
      `${own} IN (SELECT buyer FROM public.orders)`,
      `${own} NOT IN (SELECT email FROM users WHERE email IS NOT NULL)`,
      `EXISTS (SELECT FROM staff s WHERE s.id = ${table}.id)`,
      `${own} LIKE 'a%'`,
      `lower(${own}) = 'ann@example.org'`,
      () => (depth > 0 ? `(${predicate(table, column, depth - 1)} AND ${predicate(table, column, 0)})` : 'true'),
      () => (depth > 0 ? `NOT (${predicate(table, column, depth - 1)})` : 'true'),
      () => (depth > 0 ? `(${predicate(table, column, depth - 1)} OR ${predicate(table, column, 0)})` : 'true'),
    )
  }

  function target(table: string, column: string): string {
    const own = `${table}.${column}`
    return pick(
      own,
      own,
      own,
      `${own} AS shown`,
      `${table}.id`,
      `${table}.*`,
      `${own} IS NULL AS missing`,
      () => `${own} = ${email()} AS same`,
      `row_number() OVER (ORDER BY ${table}.id) AS place`,
      `(SELECT count(*) FROM staff s WHERE s.id = ${table}.id) AS colleagues`,
      `CASE WHEN ${table}.id = 1 THEN 'one' ELSE 'more' END AS number`,
      `upper(${own}) AS upper`,
      `${own}::text`,
      `coalesce(${own}, 'none')`,
      `to_jsonb(${table})`,
      `(SELECT email FROM users WHERE id = 1) AS first`,
    )
  }

  function from(table: string, alias: string, column: string): readonly [string, string] {
    const name = (by: string) => `${by} AS ${alias}`
    return [
      pick(
        name(table),
        name(table),
        name(table),
        () => `${name(table)} JOIN staff s ON s.id = ${alias}.id`,
        () => `${name(table)} LEFT JOIN public.orders o ON o.user_id = ${alias}.id`,
        () => `${name(table)} JOIN public.orders o ON o.buyer = ${alias}.${column}`,
        name(`(SELECT id, ${column} FROM ${table})`),
        () => `staff s, LATERAL (SELECT id, ${column} FROM ${table} i WHERE i.id = s.id) AS ${alias}`,
        name(`(SELECT x.id, x.${column} FROM ${table} x WHERE ${predicate('x', column, 0)})`),
      ),
      column,
    ]
  }

  function query(): string {
    const [table, column] = tables[random(tables.length)] ?? ['users', 'email']
    const [source] = from(table, 't', column)
    const where = pick('', '', () => ` WHERE ${predicate('t', column, 2)}`)
    const targets = Array.from({ length: 1 + random(3) }, () => target('t', column)).join(', ')
    const plain = `SELECT ${targets} FROM ${source}${where}`
    return pick(
      plain,
      plain,
      plain,
      plain,
      `${plain} ORDER BY t.id`,
      `${plain} ORDER BY t.${column}`,
      `SELECT count(*), count(t.${column}), count(DISTINCT t.${column}) FROM ${source}${where}`,
      `SELECT count(*) FROM ${source}${where} GROUP BY t.${column}`,
      `SELECT DISTINCT ON (t.${column}) 1 AS one FROM ${source}${where}`,
      `SELECT max(t.id) FROM ${source}${where} HAVING count(t.${column}) > 0`,
      `SELECT DISTINCT t.${column} FROM ${source}${where}`,
      `SELECT max(t.${column}) FROM ${source}${where}`,
      `WITH w AS (${plain}) SELECT * FROM w`,
      `WITH w AS MATERIALIZED (SELECT t.id, t.${column} FROM ${source}${where}) SELECT w.${column} FROM w JOIN users u ON u.id = w.id`,
      `SELECT t.id FROM ${source}${where} UNION SELECT id FROM staff`,
      `SELECT t.${column} FROM ${source}${where} UNION ALL SELECT email FROM users`,
      `EXPLAIN (COSTS OFF) ${plain}`,
      `DECLARE c CURSOR FOR ${plain}; FETCH ALL FROM c`,
      `PREPARE p AS ${plain}; EXECUTE p`,
    )
  }

  function write(): string {
    const id = String(10 + random(90))
    const [table, column] = pick('users email', 'user_list email', 'public.users phone').split(' ') as [string, string]
    const where = pick('', () => ` WHERE ${predicate('t', column, 1)}`)
    const returning = pick('', ` RETURNING ${column}`, ' RETURNING *', ` RETURNING id, upper(${column})`)
    return pick(
      () => `INSERT INTO ${table} (id, ${column}) VALUES (${id}, ${email()})${returning}`,
      () =>
        `INSERT INTO ${table} (id, ${column}) VALUES (1, ${email()}) ON CONFLICT (id) DO UPDATE SET ${column} = EXCLUDED.${column}`,
      () => `INSERT INTO ${table} (id, ${column}) SELECT ${id}, ${email()} WHERE EXISTS (SELECT FROM staff)`,
      `INSERT INTO public.users (id, email) SELECT o.id + 10, o.buyer FROM public.orders o${returning}`,
      `INSERT INTO keys (email, note) VALUES (${email()}, 'n') ON CONFLICT (email) DO NOTHING RETURNING note`,
      () => `UPDATE ${table} AS t SET ${column} = ${email()}${where}`,
      () => `UPDATE ${table} AS t SET (id, ${column}) = (t.id, ${email()})${where}${returning}`,
      `UPDATE public.users t SET email = o.buyer FROM public.orders o WHERE o.user_id = t.id`,
      `UPDATE users t SET name = t.email`,
      `UPDATE ${table} t SET ${column} = lower(${column})`,
      `DELETE FROM ${table} AS t${where}${returning}`,
      () => `WITH d AS (DELETE FROM ${table} t${where} RETURNING *) SELECT d.${column} FROM d`,
      () =>
        `MERGE INTO users t USING staff s ON s.id = t.id AND t.email = ${email()} WHEN MATCHED THEN UPDATE SET email = ${email()} WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.id + ${id}, ${email()})`,
      () => `PREPARE p AS INSERT INTO ${table} (id, ${column}) VALUES ($1, $2); EXECUTE p(${id}, ${email()})`,
      `INSERT INTO staff (id, name) SELECT id, ${column} FROM ${table}`,
    )
  }

  return { query, write }
}
