/** How two kinds of tries compare that were made in pairs, one of each kind a round, in any order within it. */
export interface Comparison {
  /** Share of rounds in which the other kind took longer; 0.5: nothing to be told. */
  readonly slower: number
  /** By how many standard errors it differs from 0.5. */
  readonly z: number
  readonly medianMs: number
}

/**
 * The sign test: what slows the machine down for a while slows both tries of a round down, so that nothing else of the distributions has to be
 * assumed.
 */
export function compareRounds(reference: readonly number[], other: readonly number[]): Comparison {
  let [slower, decided] = [0, 0]
  for (const [round, time] of other.entries()) {
    const against = reference[round] ?? time
    if (time === against) continue
    decided += 1
    if (time > against) slower += 1
  }
  const share = decided === 0 ? 0.5 : slower / decided
  return { slower: share, z: (share - 0.5) / (0.5 / Math.sqrt(Math.max(1, decided))), medianMs: quantile(other, 0.5) }
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

/** In a random order. */
export function shuffled<Item>(items: readonly Item[]): readonly Item[] {
  return items
    .map(item => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
