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

export const accessLogOptions = z
  .strictObject({
    file: z
      .string()
      .min(1)
      .optional()
      .describe('made at the first start, mode 0600; opened anew at each reload. This or stdout'),
    stdout: z.literal(true).optional().describe('true: lines go to the standard output'),
    format: z
      .enum(['json', 'combined'])
      .default('json')
      .describe('a JSON object a line, or the combined format of Apache and nginx'),
    redact: z
      .array(z.string().min(1))
      .default([])
      .describe(
        'parameters of queries whose values are not written, besides those that usually carry a credential (token, code, key and so on) and those where mechanisms look for one',
      ),
  })
  .refine(({ file, stdout }) => (file === undefined) !== (stdout === undefined), 'needs file or stdout, and not both')
export type AccessLogOptions = Frozen<z.output<typeof accessLogOptions>>
