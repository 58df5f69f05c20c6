/** What was made of texts, by text, bounded in number and bytes, in two generations like the plans (`sql/plan-cache.ts`). */
export class ReadingCache<Reading> {
  readonly #maxReadings: number
  readonly #maxBytes: number
  #young = new Map<string, Reading>()
  #old = new Map<string, Reading>()
  #bytes = 0

  constructor(maxReadings: number, maxBytes: number) {
    this.#maxReadings = maxReadings
    this.#maxBytes = maxBytes
  }

  get(text: string): Reading | undefined {
    const found = this.#young.get(text)
    if (found !== undefined) return found
    const older = this.#old.get(text)
    if (older !== undefined) this.set(text, older)
    return older
  }

  set(text: string, reading: Reading): void {
    if (text.length > this.#maxBytes / 16 || this.#young.has(text)) return
    if (this.#young.size >= this.#maxReadings / 2 || this.#bytes + text.length > this.#maxBytes / 2) {
      this.#old = this.#young
      this.#young = new Map()
      this.#bytes = 0
    }
    this.#young.set(text, reading)
    this.#bytes += text.length
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
    this.#bytes = 0
  }
}
