import { parentPort } from 'node:worker_threads'
import { deriveApr1Tag } from './apr1.ts'
import { deriveBcryptTag } from './bcrypt.ts'

// The thread of hashes that Node's pool does not have. Started by hash-thread.ts, which alone talks to it.

/** What the thread is asked. `id` comes back with the tag. */
export type HashJob = { readonly id: number; readonly password: Uint8Array } & (
  | { readonly kind: 'bcrypt'; readonly salt: Uint8Array; readonly cost: number }
  | { readonly kind: 'apr1'; readonly salt: string }
)

export interface HashResult {
  readonly id: number
  readonly tag: Uint8Array
}

function run(job: HashJob): Uint8Array {
  switch (job.kind) {
    case 'bcrypt':
      return deriveBcryptTag(job.password, job.salt, job.cost)
    case 'apr1':
      return deriveApr1Tag(job.password, job.salt)
  }
}

parentPort?.on('message', (job: HashJob) => {
  const result: HashResult = { id: job.id, tag: Uint8Array.from(run(job)) }
  job.password.fill(0)
  parentPort?.postMessage(result)
})
