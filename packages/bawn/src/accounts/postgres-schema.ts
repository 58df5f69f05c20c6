import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { AccountError } from './store.ts'

// The tables of an account store in PostgreSQL, in a schema of their own. Names are always qualified and search_path is pg_catalog
// alone: nothing that somebody else puts into the database is called by us.

/** Step n makes version n + 1. A step that older versions could not live with raises `oldest` to its own version. */
const steps: readonly ((schema: string) => string)[] = [
  schema => `
  CREATE TABLE ${schema}.edition (
    one     boolean PRIMARY KEY CHECK (one),
    version integer NOT NULL,
    oldest  integer NOT NULL
  );
  CREATE TABLE ${schema}.secret (name text PRIMARY KEY, value bytea NOT NULL);
  CREATE TABLE ${schema}.account (
    name             text COLLATE "C" PRIMARY KEY,
    scram            text,
    password         text,
    roles            text[] NOT NULL,
    locked           boolean NOT NULL,
    created          bigint,
    password_changed bigint
  );
  -- Roles stand in a table of their own: nothing that looks for somebody who logs in can find one.
  CREATE TABLE ${schema}.role (name text COLLATE "C" PRIMARY KEY, roles text[] NOT NULL, created bigint NOT NULL);
  CREATE TABLE ${schema}.privilege (
    grantee   text COLLATE "C" NOT NULL,
    privilege text NOT NULL CHECK (privilege IN ('DQL', 'DML', 'DDL', 'AL')),
    database  text COLLATE "C" NOT NULL,
    schema    text COLLATE "C" NOT NULL CHECK (schema = '' OR database <> ''),
    relation  text COLLATE "C" NOT NULL CHECK (relation = '' OR schema <> ''),
    state     text NOT NULL CHECK (state IN ('grant', 'deny')),
    grantor   text NOT NULL,
    created   bigint NOT NULL,
    PRIMARY KEY (grantee, privilege, database, schema, relation)
  );
  CREATE INDEX privilege_object ON ${schema}.privilege (database, schema, relation);
  CREATE TABLE ${schema}.counter (name text PRIMARY KEY, value bigint NOT NULL);
  INSERT INTO ${schema}.counter VALUES ('grants', 1);
  -- The counter moves with everything that grants are decided by, whoever changes it, so that every node sees it.
  CREATE FUNCTION ${schema}.count_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
    BEGIN
      UPDATE ${schema}.counter SET value = value + 1 WHERE name = 'grants';
      RETURN NULL;
    END
  $$;
  CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON ${schema}.privilege
    FOR EACH ROW EXECUTE FUNCTION ${schema}.count_change();
  CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON ${schema}.role
    FOR EACH ROW EXECUTE FUNCTION ${schema}.count_change();
  CREATE TRIGGER counted_made AFTER INSERT ON ${schema}.account
    FOR EACH ROW WHEN (NEW.roles <> '{}') EXECUTE FUNCTION ${schema}.count_change();
  CREATE TRIGGER counted_changed AFTER UPDATE OF roles ON ${schema}.account
    FOR EACH ROW WHEN (NEW.roles <> OLD.roles) EXECUTE FUNCTION ${schema}.count_change();
  CREATE TRIGGER counted_removed AFTER DELETE ON ${schema}.account
    FOR EACH ROW EXECUTE FUNCTION ${schema}.count_change();
  `,
  // Which password an account has, and what digest needs. An older version would change passwords and leave what they proved.
  schema => `
  ALTER TABLE ${schema}.account
    ADD COLUMN digest text,
    ADD COLUMN credential text NOT NULL DEFAULT gen_random_uuid()::text;
  CREATE INDEX account_with_password ON ${schema}.account (name) WHERE password IS NOT NULL OR scram IS NOT NULL;
  CREATE TABLE ${schema}.hashed_name (
    hash text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL REFERENCES ${schema}.account ON DELETE CASCADE
  );
  CREATE INDEX hashed_name_of ON ${schema}.hashed_name (name);
  UPDATE ${schema}.edition SET oldest = 2;
  `,
]

/** Of the tables that this code makes; it lives with newer ones whose `oldest` is not above it. */
export const schemaVersion = steps.length

/** First in a transaction: what it commits is on the disk. The database may have less by default; more is left as it is. */
export const onDisk =
  "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"

/** The schema as it stands in a statement. */
export const quoteSchema = (schema: string): string => pg.escapeIdentifier(schema)

/** @throws {AccountError} `accounts.newer_schema` */
export function refuseNewer(store: string, oldest: unknown): void {
  if (typeof oldest === 'number' && oldest <= schemaVersion) return
  throw new AccountError(
    'accounts.newer_schema',
    `account store ${store} has tables that need schema ${oldest}, this version knows ${schemaVersion}`,
  )
}

/**
 * Makes the tables or brings them up to date, in one transaction; of several nodes that start at once, one does.
 *
 * @param create false: nothing is made, and tables that are missing or old are a store that failed
 * @throws {AccountError} `accounts.newer_schema`, `accounts.unavailable`; what the database refuses is thrown as it comes
 */
export async function prepareTables(
  client: pg.ClientBase,
  { store, schema, create }: { readonly store: string; readonly schema: string; readonly create: boolean },
): Promise<void> {
  if ((await versionOf(client, store, schema)) >= schemaVersion) return
  if (!create) throw new AccountError('accounts.unavailable', `account store ${store} has no tables yet, or old ones`)
  const quoted = quoteSchema(schema)
  // Before the transaction: one that began earlier may not see what whoever had the lock has made. A session that ends gives it back.
  const lock = "(hashtextextended('bawn accounts: ' || $1, 0))"
  await client.query(`SELECT pg_advisory_lock${lock}`, [schema])
  await client.query('BEGIN')
  try {
    await client.query(onDisk)
    // A step may have to go over every row.
    await client.query('SET LOCAL statement_timeout = 0')
    // Somebody else may have been faster: look again under the lock.
    const before = await versionOf(client, store, schema)
    const { rowCount } = await client.query('SELECT FROM pg_namespace WHERE nspname = $1', [schema])
    if (rowCount === 0) await client.query(`CREATE SCHEMA ${quoted}`)
    for (const step of steps.slice(before)) await client.query(step(quoted))
    if (before === 0) {
      await client.query(`INSERT INTO ${quoted}.edition VALUES (true, $1, $1)`, [schemaVersion])
      await client.query(`INSERT INTO ${quoted}.secret VALUES ('decoy', $1)`, [randomBytes(32)])
    } else {
      await client.query(`UPDATE ${quoted}.edition SET version = $1`, [schemaVersion])
    }
    await client.query('COMMIT')
    await client.query(`SELECT pg_advisory_unlock${lock}`, [schema])
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}

/** 0: there are no tables. */
async function versionOf(client: pg.ClientBase, store: string, schema: string): Promise<number> {
  const quoted = quoteSchema(schema)
  const { rowCount } = await client.query(
    "SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = $1 AND relname = 'edition'",
    [schema],
  )
  if (rowCount === 0) return 0
  const { rows } = await client.query(`SELECT version, oldest FROM ${quoted}.edition`)
  const version: unknown = rows[0]?.version
  if (typeof version !== 'number')
    throw new AccountError('accounts.unavailable', `account store ${store} has lost its version`)
  refuseNewer(store, rows[0]?.oldest)
  return version
}
