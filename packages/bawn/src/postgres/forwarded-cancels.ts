/** So many are on their way at a time; nobody has to log in to send one. */
const maxForwarded = 16
/** Of one network: whoever is elsewhere is not kept by them, however long they take. */
const maxOfNetwork = 4
/** So many more wait until it is their turn, and of one network. Whoever comes then is told nothing, as always, and may try again. */
const maxWaiting = 1_000
const maxWaitingOfNetwork = 500

interface Waiting {
  readonly network: string
  readonly begin: () => void
}

/** Cancel requests that other threads are asked about, a few at a time. */
export class ForwardedCancels {
  #count = 0
  readonly #ofNetwork = new Map<string, number>()
  #waiting: Waiting[] = []

  /** @param network whoever sent it, counted as one. Resolves when `forward` has, or at once where too many wait */
  async run(network: string, forward: () => Promise<void>): Promise<void> {
    if (!this.#hasPlace(network)) {
      const own = this.#waiting.filter(other => other.network === network)
      if (this.#waiting.length >= maxWaiting || own.length >= maxWaitingOfNetwork) return
      await new Promise<void>(begin => this.#waiting.push({ network, begin }))
    } else this.#take(network)
    try {
      await forward()
    } finally {
      this.#leave(network)
    }
  }

  #hasPlace(network: string): boolean {
    return this.#count < maxForwarded && (this.#ofNetwork.get(network) ?? 0) < maxOfNetwork
  }

  #take(network: string): void {
    this.#count += 1
    this.#ofNetwork.set(network, (this.#ofNetwork.get(network) ?? 0) + 1)
  }

  #leave(network: string): void {
    this.#count -= 1
    const left = (this.#ofNetwork.get(network) ?? 1) - 1
    if (left === 0) this.#ofNetwork.delete(network)
    else this.#ofNetwork.set(network, left)
    const next = this.#waiting.findIndex(other => this.#hasPlace(other.network))
    const [chosen] = next === -1 ? [] : this.#waiting.splice(next, 1)
    if (chosen === undefined) return
    this.#take(chosen.network)
    chosen.begin()
  }
}
