import { MessageBuilder } from '../../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../../packages/bawn/src/postgres/wire/message.ts'
import type { Seeded } from '../../packages/envelope/testing/seeded.ts'
import { say } from '../postgres-kit.ts'

// Valid sequences of PostgreSQL's frontend protocol, made at random. What each statement answers depends on nothing but the sequence:
// no clock, no process id, no other session.

/** A few messages that belong together. */
export interface Step {
  readonly name: string
  readonly bytes: Buffer
  /** The last statement of `bytes` runs until it is cancelled; `after` came before it. */
  readonly cancel?: { readonly after: string }
}

/** What a sequence begins with: the same data, whatever the one before has left behind. */
export const preparation = [
  'drop table if exists made',
  'truncate notes, people',
  "insert into notes select n, 'note ' || n, null from generate_series(1, 9) n",
].join('; ')

/** Tables that both sides have. `people`, with its protected columns, is the kit's. */
export const schema = `
  create table people (id int primary key, name text, email bytea, photo bytea);
  create table notes (id int primary key check (id <> 13), body text, data bytea);
  create function complain(what text) returns text language plpgsql as $$
    begin raise notice 'notice %', what; raise warning 'warning %', what using hint = 'none'; return what; end $$;
  create function add_up(integer, integer) returns integer language sql immutable as 'select $1 + $2';`

const long = 'n'.repeat(63)
const statements = ['', 's1', 's2', 'bawn_refused', `${long}1`, `${long}2`, Buffer.from('Sté').toString('latin1')]
const portals = ['', 'p1', 'p2', `${long}p`]

/** Texts without parameters that may stand in any statement of either protocol. */
const texts = [
  'select 1',
  'select id, body from notes order by id',
  'select id from notes where id > 3 order by id limit 4',
  'select generate_series(1, 7) as n, null::text, repeat($$x$$, 40)',
  'select repeat($$long $$, 30000)',
  'select n, repeat(chr(65 + n % 26), 200) from generate_series(1, 300) n',
  "select '\\x00ff'::bytea, '{1,2}'::int[], true, 1.5::numeric, '{}'::json",
  'table notes',
  'values (1, $$a$$), (2, $$b$$)',
  'select from notes',
  'select count(*), sum(id) from notes',
  "insert into notes values (100, 'hundred') on conflict do nothing returning *",
  "insert into notes values (1, 'again')",
  'insert into notes values (13)',
  "update notes set body = body || '!' where id < 3 returning id, body",
  'delete from notes where id > 7',
  "merge into notes n using (values (5)) v (i) on n.id = v.i when matched then update set body = 'merged'",
  'select 1/0',
  'select 1 from nowhere',
  'select 1 from nowhere where $$é$$ = 1',
  'selec 1',
  "select 'unterminated",
  '',
  '  ',
  '/* nothing */',
  '-- nothing',
  'begin',
  'begin isolation level serializable',
  'start transaction read only',
  'commit',
  'rollback',
  'commit and chain',
  'end',
  'savepoint a',
  'rollback to a',
  'release a',
  'declare c1 cursor for select id from notes order by id',
  'declare c2 scroll cursor with hold for select n from generate_series(1, 5) n',
  'declare p1 cursor for select 42 as answer',
  'fetch 2 from c1',
  'fetch backward 1 from c2',
  'fetch all from p1',
  'fetch 1 from p2',
  'move 3 in c1',
  'close c1',
  'close p1',
  'close all',
  'prepare q1 as select 1 as one',
  'prepare q2 (int) as select $1 + 1 as more',
  'prepare s1 as select $$by sql$$ as s',
  'execute q1',
  'execute q2 (41)',
  'execute s1',
  'execute',
  'execute (',
  'deallocate q1',
  'deallocate s1',
  'deallocate all',
  'discard all',
  'discard plans',
  'copy notes (id, body) to stdout',
  'copy (select n from generate_series(1, 50) n) to stdout (format csv, header)',
  'copy (select id, body from notes order by id) to stdout (format binary)',
  'copy nowhere to stdout',
  'create temp table if not exists passing (a int unique)',
  'insert into passing values (1)',
  'select * from passing',
  'drop table if exists passing',
  'create table if not exists made (a int)',
  'alter table made add column b text',
  'insert into made (a) values (1), (2)',
  'select * from made',
  'drop table made',
  'create view pg_temp.v as select id from notes',
  'select * from v order by 1',
  "do $$ begin raise notice 'from do'; end $$",
  'do nothing',
  "select complain('é')",
  'set timezone = $$Europe/Berlin$$',
  'set local timezone = $$UTC$$',
  'set statement_timeout = 9000',
  'reset all',
  'show timezone',
  "select set_config('TimeZone', 'Asia/Tokyo', true)",
  "set application_name = 'fuzz'",
  'set datestyle = $$German$$',
  'listen ch',
  "notify ch, 'told'",
  'notify other',
  'unlisten *',
  'explain (costs off) select * from notes where id = 1',
  'explain (costs off) execute q1',
  'vacuum notes',
  'truncate notes',
  'lock table notes in share mode',
  'select lo_from_bytea(0, $$x$$) > 0 as made',
  'select id, name from people',
  'select count(email) from people',
  'select current_database() is not null, pg_backend_pid() > 0',
  'analyze notes',
  "comment on table notes is 'text'",
  'create table notes (a int)',
  'drop table nowhere',
  'select * from notes for update',
] as const

const withParameters: readonly (readonly [text: string, types: readonly number[], values: readonly string[]])[] = [
  ['select $1::int + 1 as more', [], ['41']],
  ['select $1::int + 1 as more', [23], ['x']],
  ['select $1, $2', [25, 25], ['a', 'é']],
  ['insert into notes values ($1, $2) returning id', [], ['50', 'fifty']],
  ['insert into notes values ($1, $2)', [23, 25], ['1', 'twice']],
  ['select id, body from notes where id = any ($1) order by id', [1007], ['{1,2,3}']],
  ['select n from generate_series(1, $1::int) n', [], ['12']],
  ['update notes set body = $2 where id = $1', [], ['2', 'two']],
  ['select $1', [], ['untyped']],
  ['select $2::int', [0, 23], ['1', '2']],
]

/** Made in a simple query only: several statements at once. */
function several(random: Seeded): string {
  return Array.from({ length: random.integer(2, 4) }, () => random.pick(texts)).join(';')
}

function rowLimit(random: Seeded): number {
  return random.pick([0, 0, 0, 1, 2, 3, 100, -1])
}

function bind(random: Seeded, portal: string, statement: string, values: readonly string[]): Buffer {
  return say.bind(portal, statement, [...values], random.pick([[], [], [0], [1], [1, 0]]))
}

interface Prepared {
  readonly values: readonly string[]
  readonly message: Buffer
  readonly text: string
}

function prepare(random: Seeded, name: string): Prepared {
  if (random.integer(0, 2) === 0) {
    const [text, types, values] = random.pick(withParameters)
    return { values, text, message: say.parse(name, text, [...types]) }
  }
  const text = random.pick(texts)
  return { values: [], text, message: say.parse(name, text) }
}

function step(name: string, ...bytes: readonly Buffer[]): Step {
  return { name, bytes: Buffer.concat(bytes) }
}

const rows = [
  '200\tcopied\n',
  '201\t\\N\n',
  '202\té\\t\n',
  '2',
  '03\tsplit\n',
  '204\n',
  'x\tbad\n',
  '\\.\n',
  '1\ttwice\n',
]
const goodRows = ['300\tone\n', '301\t\\N\n', '302\té\\t\n', '3', '03\tsplit\n', '304\tlast\n']

/** Rows, whatever stands between them, and an end. Sync before them the server reads over, unless it has refused the statement. */
function copyData(random: Seeded, chosen: readonly string[], between: readonly Buffer[]): Buffer[] {
  const early = random.integer(0, 3) === 0 ? [say.sync] : []
  const data = chosen.flatMap(row => [say.copyData(row), ...(random.integer(0, 3) === 0 ? [random.pick(between)] : [])])
  return [...early, ...data, random.integer(0, 3) === 0 ? say.copyFail : say.copyDone]
}

function someRows(random: Seeded): Buffer[] {
  const chosen = Array.from({ length: random.integer(0, 6) }, () => random.pick(rows))
  return copyData(random, chosen, [say.flush, say.sync])
}

function takenRows(random: Seeded): Step {
  const chosen = goodRows.slice(0, random.integer(0, goodRows.length))
  return step(
    'Q copy of rows that are taken',
    say.query('delete from notes where id >= 300'),
    say.query('copy notes (id, body) from stdin'),
    ...copyData(random, chosen, [say.flush, say.sync]),
  )
}

/** Each in the pieces that it comes in. */
const sealedRows = [
  ['300\tone\t\\\\x00ff\n'],
  ['301\t\\N\t\\N\n302\ttwo', '\t\\N\n'],
  ['303\té', '\\t\t\\\\x', '\n'],
  ['304\tlast\t\\\\x0a5c09\n'],
]

/** Into a protected column and out of it: both sides show bytes in hex, whatever is stored. */
function sealedCopy(random: Seeded): Step {
  const isGood = random.integer(0, 2) > 0
  const chosen = [
    ...sealedRows.slice(0, random.integer(0, sealedRows.length)).flat(),
    ...(isGood ? [] : ['x\tbad\t\\N\n']),
  ]
  return step(
    'Q copy of a protected column, in and out',
    say.query('delete from people where id >= 300'),
    say.query('copy people (id, name, photo) from stdin'),
    ...copyData(random, chosen, [say.flush, say.sync]),
    say.query('copy (select id, name, photo from people order by id) to stdout'),
  )
}

const copyTexts = [
  'copy notes (id, body) from stdin',
  'copy notes (id, body) from stdin (format csv)',
  'copy notes (id, body) from stdin (on_error ignore)',
  'copy nowhere from stdin',
]

/** Named by itself: whatever else is run by name must not wait for data. */
function copyIn(random: Seeded): Step {
  const text = random.pick(copyTexts)
  if (random.integer(0, 1) === 0) {
    const more = random.pick(['', '; select 1', '; select 1/0', `; ${text}`])
    return step(
      `Q ${text}${more} with data`,
      say.query(text + more),
      ...someRows(random),
      ...(random.integer(0, 2) === 0 ? someRows(random) : []),
    )
  }
  return step(
    `P B E ${text} with data`,
    say.parse('copying', text),
    say.bind('copying', 'copying'),
    say.execute('copying'),
    ...someRows(random),
    ...(random.integer(0, 2) === 0 ? [] : [say.sync]),
    say.close('S', 'copying'),
    say.sync,
  )
}

/** FunctionCall of what is no large object's is refused by the door: the server is made to refuse it too, by a function that is not there. */
const functionCall = new MessageBuilder().begin(front.functionCall).int32(0).int16(0).int16(0).int16(0).end().take()

const kinds: readonly (readonly [weight: number, make: (random: Seeded) => Step])[] = [
  [6, random => named(random.pick(texts), text => [say.query(text)], 'Q')],
  [2, random => named(several(random), text => [say.query(text)], 'Q')],
  [
    6,
    random => {
      const [statement, portal] = [random.pick(statements), random.pick(portals)]
      const prepared = prepare(random, statement)
      const optional = [
        prepared.message,
        say.describe('S', statement),
        bind(random, portal, statement, prepared.values),
        say.describe('P', portal),
        say.execute(portal, rowLimit(random)),
        say.sync,
      ].filter(() => random.integer(0, 7) > 0)
      return step(`batch ${statement}/${portal}: ${prepared.text}`, ...optional)
    },
  ],
  [2, random => named(random.pick(statements), name => [prepare(random, name).message], 'P')],
  [2, random => named(random.pick(statements), name => [bind(random, random.pick(portals), name, [])], 'B')],
  [3, random => named(random.pick(portals), name => [say.execute(name, rowLimit(random))], 'E')],
  [1, random => named(random.pick(portals), name => [say.describe('P', name)], 'D portal')],
  [1, random => named(random.pick(statements), name => [say.describe('S', name)], 'D statement')],
  [1, random => named(random.pick(portals), name => [say.close('P', name)], 'C portal')],
  [1, random => named(random.pick(statements), name => [say.close('S', name)], 'C statement')],
  [4, () => step('S', say.sync)],
  [1, () => step('H', say.flush)],
  [1, random => step('S S', ...Array.from({ length: random.integer(2, 5) }, () => say.sync))],
  [2, copyIn],
  [1, takenRows],
  [1, sealedCopy],
  [1, () => step('stray CopyData, CopyDone, CopyFail', say.copyData('stray'), say.copyDone, say.copyFail)],
  // Q behind it: where the door refuses, the server has lost its unnamed statement.
  [1, () => step('F, Q', functionCall, say.query(''))],
  [
    1,
    random => {
      const rows = random.integer(1, 3)
      const runs = Array.from({ length: random.integer(2, 6) }, () => say.execute('p1', rows))
      const select = say.parse('s1', 'select id, body from notes order by id')
      return step(
        'a portal, suspended',
        say.sync,
        say.query('begin'),
        say.close('S', 's1'),
        select,
        say.bind('p1', 's1'),
        ...runs,
        say.sync,
        say.query(random.pick(['commit', 'fetch 1 from p1', 'select 1/0'])),
      )
    },
  ],
]

function named(name: string, make: (name: string) => Buffer[], kind: string): Step {
  return step(`${kind} ${name}`, ...make(name))
}

const drawn = kinds.flatMap(([weight, make]) => Array.from({ length: weight }, () => make))

/** Runs until it is cancelled, whatever was going on before. */
function cancelled(random: Seeded, number: number): Step {
  const after = `before cancel ${number}`
  const sleep =
    random.integer(0, 1) === 0
      ? say.query('select pg_sleep(30)')
      : Buffer.concat([say.parse('', 'select pg_sleep(30)'), say.bind('', ''), say.execute(''), say.sync])
  const bytes = Buffer.concat([say.sync, say.query('rollback'), say.query(`select '${after}'`), sleep])
  return { name: `cancel ${number}`, bytes, cancel: { after } }
}

/** A sequence of up to `most` steps; it ends with Terminate, behind whatever is needed to be heard to the end. */
export function makeSequence(random: Seeded, most: number): Step[] {
  const steps: Step[] = [step('preparation', say.query(preparation))]
  const cancelAt = random.integer(0, 9) === 0 ? random.integer(0, most) : -1
  const count = random.integer(1, most)
  for (let number = 0; number < count; number += 1) {
    steps.push(number === cancelAt ? cancelled(random, number) : random.pick(drawn)(random))
  }
  steps.push(ending(random))
  return steps
}

function ending(random: Seeded): Step {
  switch (random.integer(0, 4)) {
    case 0:
      return step('S, X', say.sync, say.terminate)
    case 1:
      // The server gives up a connection on which something else comes than data.
      return step(
        'Q in COPY',
        say.sync,
        say.query('rollback'),
        say.query('copy notes from stdin'),
        say.query('select 1'),
      )
    default:
      return step('S, Q, X', say.sync, say.query("select 'end'"), say.terminate)
  }
}
