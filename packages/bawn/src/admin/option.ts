import { z } from 'zod'
import { type Frozen, listenAddress } from '../option.ts'

export const adminListenerOptions = z.strictObject({
  door: z.literal('admin'),
  address: listenAddress.describe('host:port to listen on; port 0 takes a free one'),
  token_file: z.string().default('data/admin.token').describe('made at start, mode 0600; bawn reload reads it'),
})
export type AdminListenerOptions = Frozen<z.output<typeof adminListenerOptions>>
