/** Where in a document protected values stand; compiled from paths such as `['items', '*', 'email']`. */
export interface PathNode {
  /** By exact key. */
  readonly members: ReadonlyMap<string, PathNode>
  /** Keys, folded: some readers (Go, many .NET ones) take `Email` for `email`. */
  readonly folded: ReadonlySet<string>
  /** UTF-8 lengths of the keys: most members of an object are told apart by that alone. */
  readonly lengths: ReadonlySet<number>
  /** Every element, where an array stands here. */
  readonly each: PathNode | undefined
  /** Index of the path that ends here. */
  readonly target: number | undefined
}

/** Without case; by way of the capital, because Go takes \u017f, whose capital is S, for s. */
export function foldKey(key: string): string {
  return key.toUpperCase().toLowerCase()
}

interface Growing {
  readonly members: Map<string, Growing>
  each: Growing | undefined
  target: number | undefined
}

/** @returns what is wrong, in words, when one path ends where another ends or goes on */
export function compilePaths(paths: readonly (readonly string[])[]): PathNode | string {
  const root: Growing = { members: new Map(), each: undefined, target: undefined }
  for (const [index, path] of paths.entries()) {
    const text = `$${path.map(step => (step === '*' ? '[*]' : `.${step}`)).join('')}`
    let at = root
    for (const step of path) {
      if (at.target !== undefined) return `${text} goes through a value that is itself protected`
      let next: Growing | undefined = step === '*' ? at.each : at.members.get(step)
      if (next === undefined) {
        next = { members: new Map(), each: undefined, target: undefined }
        if (step === '*') at.each = next
        else at.members.set(step, next)
      }
      at = next
    }
    if (at.target !== undefined) return `${text} is named twice`
    if (at.each !== undefined || at.members.size > 0) return `${text} has other protected values below it`
    at.target = index
  }
  return freeze(root)
}

function freeze(growing: Growing): PathNode {
  const names = [...growing.members.keys()]
  return Object.freeze({
    members: new Map([...growing.members].map(([name, node]) => [name, freeze(node)])),
    folded: new Set(names.map(foldKey)),
    lengths: new Set(names.map(name => Buffer.byteLength(name))),
    each: growing.each === undefined ? undefined : freeze(growing.each),
    target: growing.target,
  })
}
