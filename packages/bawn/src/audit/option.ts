import { z } from 'zod'
import type { Frozen } from '../option.ts'

export const auditOptions = z.strictObject({
  file: z.string().min(1).describe('made at the first start, mode 0600'),
  statements: z
    .enum(['protected', 'all'])
    .default('protected')
    .describe('which SQL statements get a line: those that touch a protected table, or all'),
  fsync: z
    .enum(['interval', 'always'])
    .default('interval')
    .describe('interval: every 200 ms; always: before any answer that a line speaks of'),
})
export type AuditOptions = Frozen<z.output<typeof auditOptions>>
