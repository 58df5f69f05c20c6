/**
 * Lines on their way to the file. A write that is cut short (disk full) leaves its rest here, and the next one goes on at that byte: no
 * line is lost, repeated or torn as long as the process lives.
 */
export class PendingLines {
  #lines: string[] = []
  /** Mac of the newest line in `#lines`. */
  #newestMac: Buffer
  /** What is being written, and the mac of its last line. */
  #rest: Buffer = Buffer.alloc(0)
  #restMac: Buffer
  #writtenMac: Buffer

  /** @param mac of the last line that is in the file already */
  constructor(mac: Buffer) {
    this.#newestMac = mac
    this.#restMac = mac
    this.#writtenMac = mac
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0 && this.#rest.length === 0
  }

  /** Of the last line that was written whole. */
  get writtenMac(): Buffer {
    return this.#writtenMac
  }

  /** @param line with its newline */
  add(line: string, mac: Buffer): void {
    this.#lines.push(line)
    this.#newestMac = mac
  }

  /** @param write returns how many of the bytes it took; what it throws comes through, and nothing is lost */
  drain(write: (bytes: Buffer) => number): void {
    while (!this.isEmpty) {
      if (this.#rest.length === 0) {
        this.#rest = Buffer.from(this.#lines.join(''))
        this.#restMac = this.#newestMac
        this.#lines = []
      }
      while (this.#rest.length > 0) this.#rest = this.#rest.subarray(write(this.#rest))
      this.#writtenMac = this.#restMac
    }
  }
}
