import { z } from 'zod'
import { type Frozen, name } from '../option.ts'

export const sqliteStoreOptions = z.strictObject({
  kind: z.literal('sqlite'),
  path: z.string().min(1).describe('SQLite file; made when it is not there, mode 0600'),
})
export const fileStoreOptions = z.strictObject({
  kind: z.literal('file'),
  path: z.string().min(1).describe('file of users that somebody else writes; read again when it changes'),
  format: z.enum(['users_yml', 'htpasswd']).describe('RESTHeart’s users.yml, or Apache’s htpasswd'),
  roles: z.array(name).default([]).describe('of everybody in an htpasswd file, which has none of its own'),
})

/** An account store; which kinds there are stands in `builtin.ts` as well. */
export const accountStoreOptions = z.discriminatedUnion('kind', [sqliteStoreOptions, fileStoreOptions])
export type AccountStoreOptions = Frozen<z.output<typeof accountStoreOptions>>

/** Whether a store of this kind keeps roles and grants. */
export function holdsGrants(kind: AccountStoreOptions['kind']): boolean {
  return kind === 'sqlite'
}
