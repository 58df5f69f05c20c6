import { z } from 'zod'

export const accountStoreOptions = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('sqlite'), path: z.string().min(1) }),
])
export type AccountStoreOptions = z.output<typeof accountStoreOptions>
