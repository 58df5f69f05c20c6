import type { Field } from '../../fields/field.ts'
import type { FieldAbility, RelationColumn, SchemaSnapshot, StatementPlan } from './plan.ts'

// The database that the tests of this folder plan statements for; `server.test.ts` creates it and finds this snapshot in it.

export const shopTables = `
CREATE TABLE public.users (id serial PRIMARY KEY, email bytea, phone bytea, scan bytea, name text, joined date DEFAULT now());
CREATE TABLE public.orders (id int PRIMARY KEY, user_id int, buyer bytea, note text);
CREATE TABLE public."Odd ""table" ("E mail" bytea, n int);
CREATE TABLE public.events (at date, who bytea, what text) PARTITION BY RANGE (at);
CREATE TABLE public.events_2026 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE public.flags (id int, secret bytea DEFAULT 'open');
CREATE TABLE public.clear (id int, email text);
CREATE TABLE public.people (id int, name text);
CREATE SCHEMA crm;
CREATE TABLE crm.orders (id int, buyer text);
CREATE VIEW public.user_list AS SELECT id, email FROM public.users;
CREATE VIEW public.user_list_2 AS SELECT id FROM public.user_list;
CREATE VIEW public.user_names AS SELECT id, name FROM public.users;
`

function field(name: string, type: 'text' | 'bytes', searchable: boolean, columns: readonly string[]): Field {
  return {
    name,
    columns: columns.map(column => {
      const [schema = '', table = '', last = ''] = column.split('.')
      return { database: 'shop', schema, table, column: last }
    }),
    json: [],
    type,
    encrypt: 'acrablock',
    searchable,
  }
}

export const email = field('email', 'text', true, [
  'public.users.email',
  'public.orders.buyer',
  'public.Odd "table.E mail',
  'public.clear.email',
  'public.userz.email',
])
export const phone = field('phone', 'text', false, ['public.users.phone', 'public.flags.secret'])
export const scan = field('scan', 'bytes', false, ['public.users.scan'])
export const who = field('who', 'text', true, ['public.events.who'])
export const shopFields: readonly Field[] = [email, phone, scan, who]

const oids: { readonly [type: string]: number } = { int4: 23, text: 25, bytea: 17, date: 1082 }

/** `name type [default]`, … → columns; `fields` by column name. */
function columns(list: string, fields: { readonly [column: string]: Field }): readonly RelationColumn[] {
  return list.split(', ').map((item, index) => {
    const [name = '', type = '', fallback] = item.split(':')
    return {
      name,
      attnum: index + 1,
      typeOid: oids[type] ?? 0,
      hasDefault: fallback === 'default',
      generated: false,
      field: fields[name],
    }
  })
}

const relations = [
  { oid: 1, schema: 'public', name: 'Odd "table', columns: columns('E mail:bytea, n:int4', { 'E mail': email }) },
  { oid: 2, schema: 'public', name: 'events', columns: columns('at:date, who:bytea, what:text', { who }) },
  { oid: 3, schema: 'public', name: 'events_2026', columns: columns('at:date, who:bytea, what:text', { who }) },
  { oid: 4, schema: 'public', name: 'flags', columns: columns('id:int4, secret:bytea:default', { secret: phone }) },
  {
    oid: 5,
    schema: 'public',
    name: 'orders',
    columns: columns('id:int4, user_id:int4, buyer:bytea, note:text', { buyer: email }),
  },
  {
    oid: 6,
    schema: 'public',
    name: 'users',
    columns: columns('id:int4:default, email:bytea, phone:bytea, scan:bytea, name:text, joined:date:default', {
      email,
      phone,
      scan,
    }),
  },
]

export const shopSnapshot: SchemaSnapshot = {
  epoch: 0,
  relations,
  columns: new Map(
    relations.map(relation => [
      relation.oid,
      new Map(
        relation.columns.flatMap(column =>
          column.field === undefined ? [] : [[column.attnum, column.field] as const],
        ),
      ),
    ]),
  ),
  dependents: [
    { schema: 'public', name: 'user_list' },
    { schema: 'public', name: 'user_list_2' },
  ],
  homonyms: [{ schema: 'crm', name: 'orders' }],
  problems: [
    {
      code: 'postgres.column_not_bytea',
      schema: 'public',
      table: 'clear',
      column: 'email',
      message: 'field email: public.clear.email is text, and ciphertext needs bytea',
      hint: 'Change the column to bytea: bawn protect email',
    },
    {
      code: 'postgres.column_missing',
      schema: 'public',
      table: 'userz',
      column: 'email',
      message: 'field email: there is no table public.userz (is it public.users?)',
      hint: 'Create public.userz or correct the name in the configuration',
    },
  ],
}

/** Somebody who sees every field in plain, and somebody who sees none. */
export const sees: FieldAbility = item => (item.searchable ? 'search' : 'none')
export const seesNothing: FieldAbility = () => 'none'

/** The edited text, with `<field:plaintext>` (sealed) and `<field?plaintext>` (searched) for values. */
export function edited(text: string, plan: StatementPlan): string {
  if (plan.kind !== 'protected') return plan.kind
  const bytes = Buffer.from(text)
  let at = 0
  let out = ''
  for (const edit of plan.edits) {
    out += bytes.toString('utf8', at, edit.start)
    if (edit.kind === 'text') out += edit.text
    else {
      const plaintext =
        edit.field.type === 'bytes'
          ? Buffer.from(edit.plaintext).toString('hex')
          : Buffer.from(edit.plaintext).toString()
      out += `<${edit.field.name}${edit.as === 'sealed' ? ':' : '?'}${plaintext}>`
    }
    at = edit.end
  }
  const uses = plan.parameters.map(use => `$${use.index}${use.as === 'sealed' ? ':' : '?'}${use.field.name}`)
  return [out + bytes.toString('utf8', at), ...uses].join(' ')
}
