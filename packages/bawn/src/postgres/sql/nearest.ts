/** Levenshtein distance of two short names. */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let at = 0; at < one.length; at++) {
    const next = [at + 1]
    for (let to = 0; to < other.length; to++) {
      const change = (row[to] ?? 0) + Number(one[at] !== other[to])
      next.push(Math.min(change, (row[to + 1] ?? 0) + 1, (next[to] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}

/** Up to three of `known` that `name` is most likely a misspelling of. */
export function nearest(name: string, known: readonly string[]): readonly string[] {
  const most = Math.max(2, Math.floor(name.length / 3))
  const distances = known.map(candidate => ({ candidate, far: distance(name.toLowerCase(), candidate.toLowerCase()) }))
  const least = Math.min(most, ...distances.map(({ far }) => far))
  return distances
    .filter(({ far }) => far === least)
    .slice(0, 3)
    .map(({ candidate }) => candidate)
}
