/** Longer than this nobody else of this thread waits for one session, in ms; a piece of a message may take longer. */
const turnMs = 1
/** What is shorter costs nobody anything, however dear it is. */
const smallBytes = 16 * 1024
/** A piece is never smaller: cutting has its price too. */
const leastBytes = 4 * 1024

/**
 * What a server sends, worked on in turns. Opening values takes far longer than moving bytes, and a server sends faster than they are opened:
 * without this, whoever reads a large result with a protected column would hold up everybody else until its end. What takes long is cut into
 * pieces, and between two of them the others have their turn; meanwhile nothing more is read.
 */
export class TakingTurns {
  readonly #take: (chunk: Buffer) => void
  readonly #wait: (isWaiting: boolean) => void
  /** How many bytes fill a turn, by what the last ones took. Nothing is known yet of the first. */
  #pieceBytes = smallBytes
  #isSlow = true
  /** What is left for later turns, in order; our own bytes. */
  #held: Buffer[] = []
  #next: NodeJS.Immediate | undefined
  #isOver = false

  /** @param wait called with true when nothing more should be read for now, with false when it may be again */
  constructor(take: (chunk: Buffer) => void, wait: (isWaiting: boolean) => void) {
    this.#take = take
    this.#wait = wait
  }

  /** Something was read and not worked on yet. */
  get isHolding(): boolean {
    return this.#held.length > 0
  }

  /** @param chunk may be overwritten when this has returned */
  push(chunk: Buffer): void {
    if (this.#held.length > 0) this.#held.push(Buffer.from(chunk))
    else if (chunk.length < smallBytes) this.#take(chunk)
    else this.#work(chunk)
  }

  /** Nobody wants the rest. */
  drop(): void {
    this.#isOver = true
    this.#held = []
    clearImmediate(this.#next)
  }

  /** @param isOurs it was held, and nobody overwrites it */
  #work(chunk: Buffer, isOurs = false): void {
    const began = performance.now()
    let since = began
    for (let at = 0; at < chunk.length && !this.#isOver; ) {
      const piece = this.#isSlow ? chunk.subarray(at, at + this.#pieceBytes) : chunk.subarray(at)
      this.#take(piece)
      at += piece.length
      const now = performance.now()
      this.#learn(piece.length, now - since)
      since = now
      if (at < chunk.length && now - began >= turnMs && !this.#isOver) {
        const rest = chunk.subarray(at)
        this.#held.unshift(isOurs ? rest : Buffer.from(rest))
        if (!isOurs) this.#wait(true)
        this.#next = setImmediate(() => this.#goOn())
        return
      }
    }
    if (!isOurs || this.#isOver) return
    if (this.#held.length > 0) this.#next = setImmediate(() => this.#goOn())
    else this.#wait(false)
  }

  #goOn(): void {
    const held = this.#held.shift()
    if (held !== undefined) this.#work(held, true)
  }

  /** @param ms that so many bytes took */
  #learn(bytes: number, ms: number): void {
    this.#pieceBytes = Math.max(leastBytes, Math.floor((bytes / Math.max(ms, 0.001)) * turnMs))
    this.#isSlow = this.#pieceBytes < 8 * smallBytes
  }
}
