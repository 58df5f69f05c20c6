import { Worker } from 'node:worker_threads'
import type { HashJob, HashResult } from './hash-worker.ts'

/** Distributes over a union, where Omit would merge its members. */
type Question = HashJob extends infer Job ? (Job extends HashJob ? Omit<Job, 'id'> : never) : never

/** One thread for bcrypt and MD5-crypt, started when the first such password is checked; it keeps no process alive. */
export interface HashThread {
  /** Rejects when the thread failed or was closed: whether the password is right is then not known. */
  derive(question: Question): Promise<Uint8Array>
  close(): Promise<void>
}

interface Waiting {
  readonly resolve: (tag: Uint8Array) => void
  readonly reject: (error: Error) => void
}

export function createHashThread(): HashThread {
  // Built packages hold JavaScript under the same names.
  const file = new URL(import.meta.url.endsWith('.ts') ? 'hash-worker.ts' : 'hash-worker.js', import.meta.url)
  const waiting = new Map<number, Waiting>()
  let worker: Worker | undefined
  let nextId = 0
  let closed = false

  const fail = (error: Error): void => {
    worker = undefined
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  const start = (): Worker => {
    const started = new Worker(file, { execArgv: [], env: {}, name: 'password hashes' })
    started.on('message', ({ id, tag }: HashResult) => {
      waiting.get(id)?.resolve(tag)
      waiting.delete(id)
      // Only an open question keeps the process waiting.
      if (waiting.size === 0) started.unref()
    })
    started.on('error', cause => {
      if (worker === started) fail(new Error('the thread of password hashes failed', { cause }))
    })
    started.on('exit', () => {
      if (worker === started) fail(new Error('the thread of password hashes ended'))
    })
    return started
  }

  return {
    derive(question) {
      if (closed) return Promise.reject(new Error('the thread of password hashes is closed'))
      worker ??= start()
      const target = worker
      return new Promise((resolve, reject) => {
        nextId += 1
        waiting.set(nextId, { resolve, reject })
        target.ref()
        target.postMessage({ ...question, id: nextId })
      })
    },
    async close() {
      closed = true
      const ending = worker
      fail(new Error('the thread of password hashes is closed'))
      await ending?.terminate()
    },
  }
}
