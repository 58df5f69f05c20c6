import { z } from 'zod'
import { type Frozen, timeLimit } from '../../option.ts'

export const poolOptions = z.strictObject({
  mode: z
    .enum(['session', 'transaction'])
    .describe(
      'session: a client has a connection until it ends, and the next one with the same identity and settings gets it; transaction: only while its transaction lasts',
    ),
  size: z
    .int()
    .min(1)
    .max(10_000)
    .default(20)
    .describe(
      'connections to PostgreSQL, those kept included; more clients wait, by queue_length and queue_timeout of limits',
    ),
  idle_timeout: timeLimit.default(60_000).describe('a connection that nobody uses is closed after this long'),
  lifetime: timeLimit.default(3_600_000).describe('a connection so old is not used again'),
})
export type PoolOptions = Frozen<z.output<typeof poolOptions>>
