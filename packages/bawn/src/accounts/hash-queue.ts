import { availableParallelism } from 'node:os'
import { AccountError } from './store.ts'

/** Lets few hashes run at once and few wait: hashing cannot be used to exhaust the gateway. First come, first served. */
export interface HashQueue {
  /** @throws {AccountError} (rejects with) `accounts.busy` when too many wait */
  run<Result>(work: () => Promise<Result>): Promise<Result>
  /** Runs it only where nobody would wait for it; `undefined` otherwise. */
  runIfIdle<Result>(work: () => Promise<Result>): Promise<Result> | undefined
}

/** One core is left for everything else. */
const defaultConcurrency = Math.max(1, availableParallelism() - 1)

export function createHashQueue({
  concurrency = defaultConcurrency,
  maxWaiting = 100,
}: {
  readonly concurrency?: number
  readonly maxWaiting?: number
} = {}): HashQueue {
  const waiting: (() => void)[] = []
  let running = 0

  const begin = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    running += 1
    try {
      return await work()
    } finally {
      running -= 1
      waiting.shift()?.()
    }
  }

  return {
    run(work) {
      if (running < concurrency) return begin(work)
      if (waiting.length >= maxWaiting) {
        return Promise.reject(new AccountError('accounts.busy', `${waiting.length} password checks wait already`))
      }
      return new Promise((resolve, reject) => {
        waiting.push(() => {
          begin(work).then(resolve, reject)
        })
      })
    },
    runIfIdle: work => (running < concurrency ? begin(work) : undefined),
  }
}
