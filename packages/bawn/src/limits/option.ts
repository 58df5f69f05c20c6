import { z } from 'zod'
import { type Frozen, redisOptions, secretReference, timeLimit } from '../option.ts'

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000 } as const

/** `50/s`, `300/m`, `1000/h`. */
const rate = z
  .string()
  .regex(/^[1-9][0-9]{0,6}\/[smh]$/, 'must be a number and a unit: 50/s, 300/m, 1000/h')
  .transform(text => {
    const [count = '', unit = ''] = text.split('/')
    return { count: Number(count), unitMs: unitMs[unit as keyof typeof unitMs] }
  })

/** How often somebody may come. */
export const rateLimitOptions = z.strictObject({
  per: z
    .literal('address')
    .default('address')
    .describe(
      'who is counted as one: an IPv4 address, or an IPv6 /64, and a /48 as sixteen; before anybody is asked who they are',
    ),
  rate: rate.describe('on average: 50/s, 300/m, 1000/h'),
  burst: z.int().min(1).max(1_000_000).optional().describe('at once; default: the number of rate'),
})

const headerName = z.string().regex(/^[A-Za-z0-9-]+$/, 'must be the name of a header')

/** The same on a route, where a request has a path, and somebody may be identified. */
export const routeRateLimitOptions = rateLimitOptions.extend({
  per: z
    .union([
      z.enum(['address', 'client']),
      z.strictObject({ header: headerName.describe('of the request, before anybody is asked who they are') }),
      z.strictObject({ parameter: z.string().min(1).describe('of path, before anybody is asked who they are') }),
      z.strictObject({
        claim: z.string().min(1).describe('of who was identified; a dotted path reaches into objects'),
      }),
    ])
    .default('address')
    .describe(
      'who is counted as one. address: an IPv4 address, or an IPv6 /64, and a /48 as sixteen, before anybody is asked who they are; client: who was identified, wherever from, and by address who was not; { header: NAME }, { parameter: NAME }, { claim: PATH }: all with the same value, and all without one together',
    ),
})
export type RateLimitOptions = Frozen<z.output<typeof routeRateLimitOptions>>

/** Where what `rate_limit` counts is kept, for all listeners and routes. */
export const rateLimitsOptions = z.strictObject({
  kind: z.literal('redis').describe('all nodes with the same prefix count together'),
  ...redisOptions,
  timeout: timeLimit.default(50).describe('a request waits so long for Redis'),
  guess_key: secretReference
    .optional()
    .describe(
      'base64 of 32 bytes and more that nodes share: guesses of passwords and keys are then counted there too, and names of who asks are kept under it. Default: each process counts guesses for itself',
    ),
  when_away: z
    .enum(['count_here', 'refuse'])
    .default('count_here')
    .describe(
      'while Redis does not answer: each process counts for itself, or nobody is let through. Guesses each process then counts for itself always',
    ),
})
export type RateLimitsOptions = Frozen<z.output<typeof rateLimitsOptions>>
