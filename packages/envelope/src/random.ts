import { randomFillSync } from 'node:crypto'

// One call of the system's generator costs more than an AES block; 8 KiB serve about 146 containers. The pool is filled at the first
// use and not at import, so that a start-up snapshot of the process cannot carry random bytes into two of them.
const pool = Buffer.allocUnsafeSlow(8192)
let used = pool.length

/** Writes `size` (1 to 8192) random bytes to `target` at `offset`. Every byte is handed out once and wiped from the pool. */
export function writeRandom(target: Buffer, offset: number, size: number): void {
  if (used + size > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  pool.copy(target, offset, used, used + size)
  pool.fill(0, used, used + size)
  used += size
}
