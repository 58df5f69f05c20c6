import type { Administration, Grant, Principal } from '../accounts/grant.ts'
import { formatPath, formatTarget } from '../accounts/grant-target.ts'
import { type GrantStore, storeOption, withGrantStore } from './account-store.ts'
import type { Command, Input } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'
import { privilegesOf, targetNote, targetOf, targetOptions } from './grant-target.ts'
import { alignedTable } from './table.ts'
import { printable } from './terminal-text.ts'

/** Who gave it, as `show` and the door tell it. */
const operator = 'operator'

const grantStoreOption = {
  ...storeOption,
  store: { value: 'NAME', help: 'which account store (default: the one of the section grants, or the only one)' },
} as const

const roleOption = { role: { value: 'ROLE', many: true, help: 'a role, instead of privileges' } } as const

/** Entries that decide nothing are no mistake: whoever makes ready for them is told all the same. */
async function noteWhereNothingIsEnforced(input: Input, store: string): Promise<void> {
  const { grants } = await needConfig(input)
  if (grants === undefined) {
    input.terminal.err('note: the configuration has no section grants: nothing of this is enforced\n')
  } else if (grants.accounts !== store) {
    input.terminal.err(`note: grants.accounts is ${grants.accounts}: what stands in ${store} decides nothing\n`)
  }
}

type Verb = 'grant' | 'deny' | 'revoke'

async function changeRoles(verb: Verb, administration: Administration, name: string, roles: readonly string[]) {
  if (verb === 'deny') throw new CliError('cli.usage', 'a role cannot be denied: revoke it')
  const count = await (verb === 'grant'
    ? administration.grantRoles(roles, [name])
    : administration.revokeRoles(roles, [name]))
  const changed = count === 0 ? 'nothing changed' : `${count} ${verb === 'grant' ? 'given' : 'taken'}`
  return `${verb} role ${roles.join(', ')} ${verb === 'grant' ? 'to' : 'from'} ${printable(name)}: ${changed}\n`
}

async function changeEntries(verb: Verb, input: Input, { administration }: GrantStore) {
  const [grantee = '', words] = input.positionals
  if (words === undefined) throw new CliError('cli.usage', 'which privileges? DQL, DML, DDL, AL or ALL; or --role')
  const target = targetOf(input, await needConfig(input))
  const privileges = privilegesOf(words, target)
  const entries = privileges.map(privilege => ({ grantee, privilege, target }))
  const count = await (verb === 'revoke'
    ? administration.revoke(entries)
    : administration.grant(entries.map(entry => ({ ...entry, state: verb, grantor: operator }))))
  const what = `${privileges.join(', ')} on ${printable(formatTarget(target))}`
  const changed = count === 0 ? 'nothing changed' : `${count} ${count === 1 ? 'entry' : 'entries'} changed`
  return `${verb} ${what} ${verb === 'revoke' ? 'from' : 'to'} ${printable(grantee)}: ${changed}\n`
}

const entryCommand = (verb: Verb, summary: string, notes: readonly string[]): Command => ({
  name: `accounts ${verb}`,
  summary,
  positionals: ['NAME', 'PRIVILEGES?'],
  options: { ...grantStoreOption, ...targetOptions, ...(verb === 'deny' ? {} : roleOption) },
  notes: [...notes, targetNote],
  run: input =>
    withGrantStore(input, async store => {
      const [name = '', words] = input.positionals
      const roles = verb === 'deny' ? [] : input.list('role')
      if (roles.length === 0) {
        const done = await changeEntries(verb, input, store)
        await noteWhereNothingIsEnforced(input, store.name)
        return done
      }
      const given = Object.keys(targetOptions).find(option => input.flag(option))
      if (words !== undefined || given !== undefined)
        throw new CliError('cli.usage', '--role stands alone: privileges are another command')
      return changeRoles(verb, store.administration, name, roles)
    }),
})

const createRole: Command = {
  name: 'accounts create-role',
  summary: 'make a role, which can be granted something; nobody logs in as one',
  positionals: ['NAME'],
  options: grantStoreOption,
  notes: [
    'Whoever has a role of this name has what it is granted, be it an account, a token of an issuer or a service of the configuration.',
  ],
  run: input =>
    withGrantStore(input, async ({ administration }) => {
      const [name = ''] = input.positionals
      await administration.create({ name, kind: 'role' })
      return `made role ${name}\n`
    }),
}

const dropRole: Command = {
  name: 'accounts drop-role',
  summary: 'drop a role that nobody has, and what it was granted',
  positionals: ['NAME'],
  options: grantStoreOption,
  run: input =>
    withGrantStore(input, async ({ administration }) => {
      const [name = ''] = input.positionals
      const found = (await administration.principals()).find(principal => principal.name === name)
      if (found?.kind === 'user') throw new CliError('cli.usage', `${printable(name)} is a user: bawn accounts remove`)
      await administration.drop(name)
      return `dropped role ${name}\n`
    }),
}

/** An entry as CrateDB's sys.privileges has it. */
export const entryRow = ({ privilege, target, state, grantor }: Grant) => ({
  class: target.kind.toUpperCase(),
  ident: target.kind === 'cluster' ? null : formatPath(target),
  state: state.toUpperCase(),
  type: privilege,
  grantor,
})

/** Entries as a table. @param isOfOne without the column of their grantee */
export function entryTable(grants: readonly Grant[], isOfOne: boolean): string {
  const names = [...(isOfOne ? [] : ['grantee']), 'class', 'ident', 'state', 'type', 'grantor']
  const rows = grants.map(grant => {
    const row = entryRow(grant)
    return [...(isOfOne ? [] : [grant.grantee]), row.class, row.ident ?? undefined, row.state, row.type, row.grantor]
  })
  return alignedTable(
    names.map(name => ({ name, right: false })),
    rows,
  )
}

/** What `accounts show` knows of somebody besides the account itself. */
export interface Granted {
  readonly principal: Principal | undefined
  readonly grants: readonly Grant[]
  /** Who was granted this role. */
  readonly holders: readonly string[]
}

export async function grantedTo(administration: Administration, name: string): Promise<Granted> {
  const [principals, { grants }] = await Promise.all([administration.principals(), administration.snapshot()])
  return {
    principal: principals.find(principal => principal.name === name),
    grants: grants.get(name) ?? [],
    holders: principals.filter(({ roles }) => roles.includes(name)).map(holder => holder.name),
  }
}

export const grantCommands: readonly Command[] = [
  createRole,
  dropRole,
  entryCommand('grant', 'grant privileges, or roles, to a user or a role', [
    'DQL: read. DML: change rows. DDL: make, alter and drop objects. AL: administer accounts. Several: DQL,DML. ALL: all of them.',
  ]),
  entryCommand('deny', 'deny privileges to a user or a role, whatever their roles grant', [
    'The narrower entry decides, and an own one before those of roles: bawn explain grant tells which.',
  ]),
  entryCommand('revoke', 'take entries, granted or denied, or roles away again', [
    'A grant is taken where it stands: revoking DQL on a table leaves what is granted on its schema. To except a table, deny it.',
  ]),
]
