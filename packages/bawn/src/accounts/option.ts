import { z } from 'zod'
import type { Frozen } from '../option.ts'

export const accountStoreOptions = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('sqlite'), path: z.string().min(1) }),
])
export type AccountStoreOptions = Frozen<z.output<typeof accountStoreOptions>>
