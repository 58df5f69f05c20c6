import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Grant, type GrantTarget, privileges } from '../packages/bawn/src/accounts/grant.ts'
import { openSqliteAccounts, type SqliteAccountStore } from '../packages/bawn/src/accounts/sqlite.ts'
import { createGrantGate, type OpenGrantGate } from '../packages/bawn/src/policy/grant-gate.ts'

// Accounts and grants for the tests of the PostgreSQL door: a real store and a real gate, with the accounts that `postgres-kit.ts` lets
// in. `billy` is a superuser; who logs in by a token has the role `guest`.

export interface GrantsKit {
  readonly store: SqliteAccountStore
  readonly gate: OpenGrantGate['gate']
  readonly administration: OpenGrantGate['administration']
  /** `DQL,DML public.people`, `ALL crm.*`, `DDL shop`, `AL cluster`. */
  give(grantee: string, ...entries: readonly string[]): Promise<void>
  deny(grantee: string, ...entries: readonly string[]): Promise<void>
  /** Everything that somebody was granted and denied, and their roles. */
  take(...grantees: readonly string[]): Promise<void>
  /** Entries as `GRANT DQL public.people`, sorted. */
  entries(grantee: string): Promise<readonly string[]>
  close(): void
}

const users = ['billy', 'sue', 'gus'] as const
const roles = ['guest', 'support'] as const

export async function openGrants(): Promise<GrantsKit> {
  const folder = mkdtempSync(join(tmpdir(), 'bawn-grants-'))
  const store = openSqliteAccounts({ name: 'staff', path: join(folder, 'accounts.db') })
  const on = store.administration
  for (const name of users) await on.create({ name, kind: 'user' })
  for (const name of roles) await on.create({ name, kind: 'role' })
  const open = await createGrantGate({
    administration: on,
    superusers: ['billy'],
    now: () => performance.now(),
    everyMs: 1_000_000,
  })
  const change = async (grantee: string, texts: readonly string[], state: Grant['state']): Promise<void> => {
    await on.grant(texts.flatMap(text => entriesOf(grantee, text, state)))
    await open.gate.refresh()
  }
  return {
    store,
    gate: open.gate,
    administration: open.administration,
    give: (grantee, ...entries) => change(grantee, entries, 'grant'),
    deny: (grantee, ...entries) => change(grantee, entries, 'deny'),
    async take(...grantees) {
      const snapshot = await on.snapshot()
      for (const grantee of grantees) {
        await on.revoke(snapshot.grants.get(grantee) ?? [])
        await on.revokeRoles(snapshot.roles.get(grantee) ?? [], [grantee])
      }
      await open.gate.refresh()
    },
    async entries(grantee) {
      const { grants } = await on.snapshot()
      const found = (grants.get(grantee) ?? []).map(
        ({ state, privilege, target }) => `${state.toUpperCase()} ${privilege} ${textOf(target)}`,
      )
      return found.sort()
    },
    close() {
      open.close()
      void store.close()
      rmSync(folder, { recursive: true })
    },
  }
}

function targetOf(text: string): GrantTarget {
  if (text === 'cluster') return { kind: 'cluster' }
  if (text === 'shop') return { kind: 'database', database: 'shop' }
  const dot = text.indexOf('.')
  const [schema, table] = [text.slice(0, dot), text.slice(dot + 1)]
  if (table === '*') return { kind: 'schema', database: 'shop', schema }
  return { kind: 'table', database: 'shop', schema, table }
}

function textOf(target: GrantTarget): string {
  switch (target.kind) {
    case 'cluster':
      return 'cluster'
    case 'database':
      return target.database
    case 'schema':
      return `${target.schema}.*`
    case 'table':
      return `${target.schema}.${target.table}`
  }
}

function entriesOf(grantee: string, text: string, state: Grant['state']): readonly Grant[] {
  const [wanted = '', target = ''] = text.split(' ')
  return privileges
    .filter(privilege => wanted.split(',').includes(privilege) || (wanted === 'ALL' && privilege !== 'AL'))
    .map(privilege => ({ grantee, privilege, target: targetOf(target), state, grantor: 'operator' }))
}
