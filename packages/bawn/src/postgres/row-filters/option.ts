import { z } from 'zod'
import { type Frozen, name } from '../../option.ts'
import { tableName } from '../firewall/option.ts'

/** Which rows of a table somebody may see and write: held by PostgreSQL's own row-level security. */
export const rowFilterOptions = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,30}$/, 'must be a-z, 0-9, "_", at most 31')
    .describe('of the policy in PostgreSQL, behind bawn_'),
  table: tableName.refine(({ name: table }) => table !== '*', 'must be schema.table').describe('schema.table'),
  rows: z
    .array(
      z.strictObject({
        for: z.array(name).min(1).describe('policies with roles; one that permits is enough'),
        where: z
          .string()
          .min(1)
          .max(4_096)
          .describe(
            'condition in SQL over the columns of the table, with @user (text) and @roles (text[]); true for every row',
          ),
      }),
    )
    .min(1)
    .describe('in order: the first entry that is for somebody decides; whom none is for has no row'),
})
export type RowFilterOptions = Frozen<z.output<typeof rowFilterOptions>>
