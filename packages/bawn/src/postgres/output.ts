/**
 * Gathers what one turn sends to one side, so that it leaves in one write: a write is a system call, and those are what a relay
 * costs. Neighbouring slices of one received buffer stay one slice; a turn that only forwards copies nothing.
 */
export class Output {
  readonly #parts: Buffer[] = []
  #run: Buffer | undefined
  #start = 0
  #end = 0

  get isEmpty(): boolean {
    return this.#run === undefined && this.#parts.length === 0
  }

  /** Forwards `buffer[start..end)`. @param borrowed the bytes will be overwritten before the turn ends */
  slice(buffer: Buffer, start: number, end: number, borrowed: boolean): void {
    if (borrowed) {
      this.append(Buffer.from(buffer.subarray(start, end)))
      return
    }
    if (this.#run === buffer && this.#end === start) {
      this.#end = end
      return
    }
    this.#close()
    this.#run = buffer
    this.#start = start
    this.#end = end
  }

  /** Sends bytes that nobody changes any more. */
  append(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#close()
    this.#parts.push(bytes)
  }

  /** Everything gathered, as one buffer; `undefined` when there is nothing. */
  take(): Buffer | undefined {
    const run = this.#run
    if (run !== undefined && this.#parts.length === 0) {
      this.#run = undefined
      return this.#start === 0 && this.#end === run.length ? run : run.subarray(this.#start, this.#end)
    }
    this.#close()
    const first = this.#parts[0]
    if (first === undefined) return undefined
    const all = this.#parts.length === 1 ? first : Buffer.concat(this.#parts)
    this.#parts.length = 0
    return all
  }

  #close(): void {
    if (this.#run === undefined) return
    this.#parts.push(this.#run.subarray(this.#start, this.#end))
    this.#run = undefined
  }
}
