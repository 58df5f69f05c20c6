import { z } from 'zod'
import { type Frozen, timeLimit } from '../option.ts'

/** A plug-in: code of somebody else's that runs with the gateway's rights. */
export const pluginOptions = z.strictObject({
  module: z
    .string()
    .regex(
      /^(\.\/[^\\\0]+|(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*(\/[A-Za-z0-9._~-]+)*)$/,
      'must be ./path/of/a/file, below the folder of this file, or the name of an npm package that is installed there',
    )
    .refine(text => !text.split('/').includes('..'), 'must not lead out of the folder of this file')
    .describe(
      './path/of/a/file or the name of an installed npm package: code that runs with the rights of the gateway',
    ),
  integrity: z
    .string()
    .regex(/^sha256-[A-Za-z0-9+/]{43}=$/, 'must be sha256- and the digest in base64; the log of a start has it')
    .optional()
    .describe('SHA-256 of the file: another one stops the start. The plug-in must be one file then'),
  timeout: timeLimit.default(5_000).describe('for each answer: one that comes later is "cannot decide"'),
})
export type PluginOptions = Frozen<z.output<typeof pluginOptions>>
