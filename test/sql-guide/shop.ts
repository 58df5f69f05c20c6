import { type Kit, startKit, withClient } from '../postgres-kit.ts'

/** The database that docs/guide/sql.md speaks of. */
export const definitions = `
create table people (id int primary key, name text, email bytea, photo bytea);
create table users (id serial primary key, email bytea, phone bytea, scan bytea, name text, joined date default now());
create table orders (id int primary key, user_id int, buyer bytea, note text);
create table events (at date, who bytea, what text) partition by range (at);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create table flags (id int, secret bytea default 'open');
create view flag_list as select id, secret from flags;
create view flag_notes as select f.secret as note, f.id as number from flag_list f;
create view flag_ids as select id from flags;
create view flag_numbers as select id as number from flag_ids;
create table keys (email bytea, note text);
create unique index on keys (substr(email, 1, 33));
create table watched (id int, email bytea);
create table watched_copies (email bytea);
create table staff (id int, name text);
create schema crm;
create table crm.orders (id int, buyer text);
insert into crm.orders values (1, 'plain');
create view user_list as select id, email from users;
create view user_addresses as select l.email as address, l.id from user_list l where l.id > 0;
create view user_names as select id, name from users;
create view user_gaps as select id, name, email is null as missing from users;
create view user_lengths as select id, length(email) from users;
create view everybody as select id, 'user' as what, email as who from users union all select user_id, 'order', buyer from orders;
create view mixture as select id, email as who from users union all select id, name::bytea from staff;
create materialized view user_copies as select id, email from users;
create view user_entry as select id as number, email as mail from users;
create rule enter as on insert to user_entry do instead insert into users (id, email) values (new.number, new.mail);
create view staff_entry as select name from staff;
create rule enter as on insert to staff_entry do instead insert into users (email) values (new.name::bytea);
create function user_count() returns bigint language sql as 'select count(*) from users';
create function email_of(int) returns bytea language sql as 'select email from users where id = $1';
create function users_of(int) returns setof users language sql as 'select * from users where id = $1';
create function email_length(users) returns int language sql as 'select length($1.email)';
create function keep_row() returns trigger language plpgsql as
  'begin insert into watched_copies values (new.email); return new; end';
create trigger keep before insert on watched for each row execute function keep_row();
select setval('users_id_seq', 100);
`

const reveal = { billing: 'plain', support: { mask: 'keep_first', characters: 1 }, default: 'nothing' }

const fields = [
  {
    name: 'address',
    columns: ['public.users.email', 'public.orders.buyer', 'public.keys.email', 'public.watched.email'],
    protect: { encrypt: 'acrablock', searchable: true },
    reveal,
  },
  { name: 'number', columns: ['public.users.phone', 'public.flags.secret'], protect: { encrypt: 'acrablock' }, reveal },
  {
    name: 'scan',
    columns: ['public.users.scan'],
    type: 'bytes',
    protect: { encrypt: 'acrablock' },
    reveal: { billing: 'plain', default: 'nothing' },
  },
  { name: 'visitor', columns: ['public.events.who'], protect: { encrypt: 'acrablock', searchable: true }, reveal },
]

/** What is protected in it, and must be seen by nobody but `billy`. */
export const secrets = ['ann@example.org', 'ben@example.org', '+441', '+442', 'scan-1', 'scan-2'] as const

/** What reads every protected value: it fails where one is not sealed. */
export const readings = [
  'select email, phone, scan from users',
  'select buyer from public.orders',
  'select who from events',
  'select secret from flags',
  'select email from keys',
  'select email from watched',
]

/** Starts the gateway before the database of the page, filled through it. */
export async function startShop(): Promise<Kit> {
  const kit = await startKit(definitions, fields)
  await withClient(kit.client('billy'), async client => {
    for (const [id, name] of [
      [1, 'ann'],
      [2, 'ben'],
    ] as const) {
      const email = `${name}@example.org`
      await client.query('insert into users (id, email, phone, scan, name) values ($1, $2, $3, $4, $5)', [
        id,
        email,
        `+44${id}`,
        Buffer.from(`scan-${id}`),
        name,
      ])
      await client.query('insert into public.orders values ($1, $1, $2, $3)', [
        id,
        email,
        id === 1 ? 'first' : 'second',
      ])
      await client.query('insert into events values ($1, $2, $3)', [`2026-0${id}-01`, email, 'visit'])
      await client.query('insert into staff values ($1, $2)', [id, name])
    }
    await client.query("insert into keys values ('ann@example.org', 'old')")
  })
  await kit.direct('refresh materialized view user_copies')
  return kit
}
