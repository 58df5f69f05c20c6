import { availableParallelism } from 'node:os'
import { z } from 'zod'

/** More are no use: the trail is one. */
export const maxWorkers = 64

export const workersOptions = z
  .union([z.int().min(1).max(maxWorkers), z.literal('auto')])
  .default(1)
  .describe('threads that serve, one a core: a number, or auto for as many as the machine has cores')

/** How many there are. `auto`: as many as the process may use cores. */
export function workerCount(workers: number | 'auto'): number {
  return workers === 'auto' ? Math.min(maxWorkers, availableParallelism()) : workers
}
