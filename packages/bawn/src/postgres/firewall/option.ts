import { z } from 'zod'
import { type Frozen, name } from '../../option.ts'
import { relationInText } from '../grants/queries.ts'
import { statementClasses } from './statement-class.ts'

/** A table by `schema.table`, or all of a schema by `schema.*`. */
export interface NamedTable {
  readonly schema: string
  /** `*`: all of the schema. */
  readonly name: string
}

/** `public.people`, `"Shop"."Order Items"`, `hr.*`; `undefined` when it is anything else. */
export function parseTableName(text: string): NamedTable | undefined {
  const whole = text.endsWith('.*')
  const names = relationInText(whole ? text.slice(0, -2) : text)
  if (names === undefined || names.length !== (whole ? 1 : 2)) return undefined
  const [schema = '', table = '*'] = names
  return { schema, name: table }
}

/** `schema.table` or `schema.*`, as an option. */
export const tableName = z.string().transform((text, context): NamedTable => {
  const parsed = parseTableName(text)
  if (parsed !== undefined) return parsed
  context.addIssue({ code: 'custom', message: 'must be schema.table or schema.*, for example public.people' })
  return z.NEVER
})

const ruleOptions = z
  .strictObject({
    name: name.describe('told to whoever is refused, and in the audit trail'),
    action: z.enum(['allow', 'deny']).describe('what becomes of a statement for which every condition holds'),
    for: z.array(name).min(1).optional().describe('policies; one that permits is enough. Default: everybody'),
    statements: z
      .array(z.enum(statementClasses))
      .min(1)
      .optional()
      .describe(
        'classes: a deny rule holds when the statement has one of them anywhere, an allow rule when it has no other',
      ),
    tables: z
      .array(tableName)
      .min(1)
      .optional()
      .describe(
        'schema.table or schema.*: a deny rule holds when the statement may touch one of them, an allow rule when it touches nothing else',
      ),
    queries: z
      .array(z.string().min(1).max(65_536))
      .min(1)
      .optional()
      .describe(
        'statements as the parser reads them, with %%VALUE%%, %%LIST_OF_VALUES%%, %%COLUMN%%, %%WHERE%%, %%SUBQUERY%%',
      ),
    without_where: z
      .literal(true)
      .optional()
      .describe(
        'in a deny rule: an UPDATE or DELETE, also within another statement, whose WHERE is missing or asks for no column',
      ),
  })
  .refine(({ action, without_where: bare }) => bare === undefined || action === 'deny', {
    path: ['without_where'],
    error: 'is for rules that deny',
  })
export type FirewallRuleOptions = Frozen<z.output<typeof ruleOptions>>

const columnRuleOptions = z.strictObject({
  name: name.describe('told to whoever is refused, and in the audit trail'),
  table: tableName.refine(({ name: table }) => table !== '*', 'must be schema.table').describe('schema.table'),
  columns: z.array(z.string().min(1).max(63)).min(1).describe('as the database spells them'),
  read: z.array(name).describe('policies; one that permits may read them. Empty: nobody'),
  write: z.array(name).optional().describe('policies; one that permits may write them. Default: as read'),
})
export type ColumnRuleOptions = Frozen<z.output<typeof columnRuleOptions>>

export const firewallOptions = z.strictObject({
  mode: z
    .enum(['enforce', 'observe'])
    .default('enforce')
    .describe('observe lets everything pass, and says in the audit trail what would have been refused'),
  default: z.enum(['allow', 'deny']).default('deny').describe('for a statement that no rule is for'),
  unreadable: z
    .enum(['allow', 'deny'])
    .default('deny')
    .describe('for what cannot be understood; with allow, rules without any condition on the statement still decide'),
  max_statements: z.int().min(1).optional().describe('in one message; more are refused'),
  trusted_functions: z
    .array(tableName)
    .default([])
    .describe('functions of yours, schema.name or schema.*, that rules about tables need not care about'),
  rules: z.array(ruleOptions).default([]).describe('in order: the first one that holds decides'),
  columns: z
    .array(columnRuleOptions)
    .default([])
    .describe(
      'who may read and write columns, asked of what the rules let pass; every one that is about a column has to permit it',
    ),
  learn: z
    .strictObject({
      file: z.string().min(1).describe('where shapes of statements are collected, without any value; JSON, one a line'),
      max_shapes: z.int().min(1).max(1_000_000).default(10_000).describe('kept; further ones are not'),
    })
    .optional()
    .describe('collects what is sent, for bawn firewall propose'),
})
export type FirewallOptions = Frozen<z.output<typeof firewallOptions>>
