// One at a time, over all threads of the process: a word of shared memory says who is inside.

/** Bytes of shared memory that an exclusion needs, at a multiple of four. */
export const exclusionBytes = 4

/** Woken at the latest then: whoever should have been woken may have ended meanwhile. */
const lookAgainMs = 50

/** Somebody else was inside for longer than could be waited. */
export class ExclusionTimeout extends Error {}

/**
 * Keeps threads out of each other's work on shared memory or a shared file. What is done inside is short and synchronous, for others
 * stand still meanwhile. A thread that is inside may come in again.
 */
export class Exclusion {
  readonly #word: Int32Array
  readonly #self: number
  readonly #maxWaitMs: number
  readonly #look: ((inside: number) => void) | undefined
  #depth = 0

  /**
   * @param word of shared memory, zero at first
   * @param self this thread: from 1, and of no other thread
   * @param maxWaitMs a thread that others rely on must not stand still for ever: it gets `ExclusionTimeout`
   * @param look called now and then while it waits, to find out whether the thread that is inside is still there (`ended`)
   */
  constructor(
    word: Int32Array<SharedArrayBuffer>,
    self: number,
    maxWaitMs = Number.POSITIVE_INFINITY,
    look?: (inside: number) => void,
  ) {
    this.#word = word
    this.#look = look
    this.#self = self
    this.#maxWaitMs = maxWaitMs
  }

  /** @throws {ExclusionTimeout} and whatever `work` throws */
  run<Result>(work: () => Result): Result {
    if (this.#depth === 0) this.#enter()
    this.#depth += 1
    try {
      return work()
    } finally {
      this.#depth -= 1
      if (this.#depth === 0) this.#leave(this.#self)
    }
  }

  #enter(): void {
    const deadline = this.#maxWaitMs === Number.POSITIVE_INFINITY ? undefined : performance.now() + this.#maxWaitMs
    while (true) {
      const inside = Atomics.compareExchange(this.#word, 0, 0, this.#self)
      if (inside === 0) return
      if (deadline !== undefined && performance.now() > deadline) {
        throw new ExclusionTimeout(`thread ${inside} has kept the others out for ${this.#maxWaitMs} ms`)
      }
      if (Atomics.wait(this.#word, 0, inside, lookAgainMs) === 'timed-out') this.#look?.(inside)
    }
  }

  #leave(self: number): void {
    Atomics.compareExchange(this.#word, 0, self, 0)
    Atomics.notify(this.#word, 0, 1)
  }

  /** A thread has ended. Where it was inside, `repair` puts right what it left half done, and others may come in again. */
  ended(thread: number, repair: () => void): void {
    if (Atomics.load(this.#word, 0) !== thread) return
    try {
      repair()
    } finally {
      this.#leave(thread)
    }
  }
}
