import { z } from 'zod'
import { type Frozen, secretReference } from '../option.ts'

export const clientIdName = z
  .string()
  .regex(/^[A-Za-z0-9 _-]{5,256}$/, 'must be 5 to 256 letters, digits, spaces, "_" or "-"')

export const keysOptions = z.strictObject({
  store: z
    .strictObject({
      kind: z.literal('directory'),
      path: z.string().min(1).describe('folder in the layout of Acra’s keystore v1'),
    })
    .describe('where wrapped keys lie'),
  master: secretReference.describe('base64 of at least 32 bytes'),
  client_id: clientIdName.describe('whose keys protect fields that name no client id of their own'),
})
export type KeysOptions = Frozen<z.output<typeof keysOptions>>
