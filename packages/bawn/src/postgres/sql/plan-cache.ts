import type { StatementPlan } from './plan.ts'

interface Entry {
  readonly epoch: number
  readonly identityClass: string
  readonly plan: StatementPlan
}

/** Plans of one text for several classes; more than this many are seldom alive at once. */
const maxClasses = 64

/**
 * Plans by text, epoch and class of identity, bounded in number and bytes. Two generations instead of a list in order of use: a hit
 * in the young one moves nothing, and what was not used while the young one filled up goes with the old one.
 */
export class PlanCache {
  readonly #maxPlans: number
  readonly #maxBytes: number
  #young = new Map<string, Entry[]>()
  #old = new Map<string, Entry[]>()
  #plans = 0
  #bytes = 0

  /** Both limits are of the two generations together. */
  constructor(maxPlans: number, maxBytes: number) {
    this.#maxPlans = maxPlans
    this.#maxBytes = maxBytes
  }

  get(text: string, epoch: number, identityClass: string): StatementPlan | undefined {
    const found = find(this.#young.get(text), epoch, identityClass)
    if (found !== undefined) return found.plan
    const older = find(this.#old.get(text), epoch, identityClass)
    if (older !== undefined) this.#add(text, older)
    return older?.plan
  }

  set(text: string, epoch: number, identityClass: string, plan: StatementPlan): void {
    if (text.length > this.#maxBytes / 16) return
    this.#add(text, { epoch, identityClass, plan })
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
    this.#plans = 0
    this.#bytes = 0
  }

  #add(text: string, entry: Entry): void {
    if (this.#plans >= this.#maxPlans / 2 || this.#bytes + text.length > this.#maxBytes / 2) {
      this.#old = this.#young
      this.#young = new Map()
      this.#plans = 0
      this.#bytes = 0
    }
    const entries = this.#young.get(text)
    if (entries === undefined) {
      this.#young.set(text, [entry])
      this.#bytes += text.length
    } else if (find(entries, entry.epoch, entry.identityClass) === undefined) {
      if (entries.length >= maxClasses) entries.shift()
      entries.push(entry)
    }
    this.#plans++
  }
}

function find(entries: readonly Entry[] | undefined, epoch: number, identityClass: string): Entry | undefined {
  if (entries === undefined) return undefined
  for (const entry of entries) {
    if (entry.epoch === epoch && entry.identityClass === identityClass) return entry
  }
  return undefined
}
