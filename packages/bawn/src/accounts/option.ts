import { z } from 'zod'
import type { Frozen } from '../option.ts'

export const accountStoreOptions = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('sqlite'),
    path: z.string().min(1).describe('SQLite file; made when it is not there, mode 0600'),
  }),
])
export type AccountStoreOptions = Frozen<z.output<typeof accountStoreOptions>>
