import { z } from 'zod'
import { parseJsonPath } from '../json-path.ts'
import { clientIdName } from '../keys/option.ts'
import { maskOptions } from '../masking/option.ts'
import { type Frozen, name } from '../option.ts'
import { parseColumnPath } from './column-name.ts'

function checkJsonPath(text: string, context: z.RefinementCtx): void {
  const parsed = parseJsonPath(text)
  if (parsed.kind === 'fault') {
    context.addIssue({ code: 'custom', message: `character ${parsed.position}: ${parsed.fault}` })
  }
}

/** What one role sees. */
export const revealOptions = z.union([z.literal('plain'), z.literal('nothing'), maskOptions])
export type RevealOptions = Frozen<z.output<typeof revealOptions>>

export const fieldOptions = z.strictObject({
  name: name.describe('in the audit trail and in rules'),
  columns: z
    .array(
      z
        .string()
        .refine(
          text => parseColumnPath(text) !== undefined,
          'must be schema.table.column; a name with capitals, dots or spaces stands in double quotes',
        ),
    )
    .default([])
    .describe('SQL columns, of type bytea in the database'),
  database: name.optional().describe('which database the columns are in; needed only where there are several'),
  json: z
    .array(
      z.strictObject({
        route: z.string().startsWith('/').describe('path of a route, or a prefix that ends in /*'),
        path: z
          .string()
          .superRefine(checkJsonPath)
          .describe('$.a.b, $.items[*].email, $[*].email, $..email is refused'),
        carries: z
          .enum(['sealed', 'plain'])
          .default('sealed')
          .describe('what the upstream holds: a container (base64 or \\x hex), or the value itself'),
      }),
    )
    .default([])
    .describe('places in the JSON bodies of routes'),
  type: z.enum(['text', 'bytes']).default('text').describe('what the value is once opened'),
  protect: z
    .strictObject({
      encrypt: z
        .enum(['acrablock', 'acrastruct'])
        .optional()
        .describe('acrablock: with a secret key; acrastruct: with a public key, which apps may hold'),
      searchable: z.boolean().default(false).describe('equality can be asked for by whoever sees it plain'),
    })
    .default({ searchable: false })
    .describe('how it is stored'),
  client_id: z
    .union([clientIdName, z.strictObject({ from: z.literal('identity') })])
    .optional()
    .describe('whose keys protect it; default: the one of keys. from: identity takes the caller’s'),
  reveal: z
    .object({ default: revealOptions.default('nothing').describe('for whoever has none of the roles') })
    .catchall(revealOptions)
    .describe('role: what it sees; of several roles the one that sees most decides'),
  unreadable: z.enum(['error', 'nothing']).default('error').describe('what happens when a stored value does not open'),
})
export type FieldOptions = Frozen<z.output<typeof fieldOptions>>
