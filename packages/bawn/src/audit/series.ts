// Counters, gauges and histograms, and their text form (Prometheus exposition format 0.0.4). Label values come from configuration and
// from closed sets, never from a request: names of users, addresses, paths and values do not become labels.

/** A metric with one series per combination of label values. `add` and `set` are meant for hot paths: one map lookup per label. */
export interface Counter<Labels extends readonly string[]> {
  /** The label values, in the order of the declaration. */
  add(...labels: Labels): void
  /** As `add`, several at once; `by` is not negative. */
  addMany(by: number, ...labels: Labels): void
}

export interface Gauge<Labels extends readonly string[]> {
  set(value: number, ...labels: Labels): void
  add(by: number, ...labels: Labels): void
}

export interface Histogram<Labels extends readonly string[]> {
  /** @param value in the unit of the metric's name: seconds */
  observe(value: number, ...labels: Labels): void
}

/** What writes itself into the exposition. */
export interface Exposed {
  /** Complete lines with their newlines: HELP, TYPE and one line a series. */
  expose(): string
}

/** More combinations of label values than this share one series whose values are all `other`. */
export const maxSeries = 2000

interface Node<Cell> {
  readonly children: Map<string, Node<Cell>>
  cell: Cell | undefined
}

/** Cells by label values, as nested maps: no string is joined on the way to a cell that exists. */
class Cells<Cell> {
  readonly #root: Node<Cell> = { children: new Map(), cell: undefined }
  readonly #create: () => Cell
  readonly #series: { readonly labels: readonly string[]; readonly cell: Cell }[] = []

  constructor(create: () => Cell) {
    this.#create = create
  }

  get(labels: readonly string[]): Cell {
    let node: Node<Cell> | undefined = this.#root
    for (const label of labels) {
      node = node.children.get(label)
      if (node === undefined) return this.#grow(labels)
    }
    return node.cell ?? this.#grow(labels)
  }

  all(): readonly { readonly labels: readonly string[]; readonly cell: Cell }[] {
    return this.#series
  }

  #grow(labels: readonly string[]): Cell {
    const bounded = this.#series.length < maxSeries ? labels : labels.map(() => 'other')
    let node = this.#root
    for (const label of bounded) {
      let child = node.children.get(label)
      if (child === undefined) {
        child = { children: new Map(), cell: undefined }
        node.children.set(label, child)
      }
      node = child
    }
    if (node.cell === undefined) {
      node.cell = this.#create()
      this.#series.push({ labels: [...bounded], cell: node.cell })
    }
    return node.cell
  }
}

export interface MetricSpec {
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
}

export function createCounter<Labels extends readonly string[]>(spec: MetricSpec): Counter<Labels> & Exposed {
  const cells = new Cells(() => ({ value: 0 }))
  return {
    add(...labels) {
      cells.get(labels).value++
    },
    addMany(by, ...labels) {
      if (by > 0) cells.get(labels).value += by
    },
    expose: () => header(spec, 'counter') + simple(spec, cells.all()),
  }
}

export function createGauge<Labels extends readonly string[]>(spec: MetricSpec): Gauge<Labels> & Exposed {
  const cells = new Cells(() => ({ value: 0 }))
  return {
    set(value, ...labels) {
      cells.get(labels).value = value
    },
    add(by, ...labels) {
      cells.get(labels).value += by
    },
    expose: () => header(spec, 'gauge') + simple(spec, cells.all()),
  }
}

/** @param bounds upper bounds of the buckets, ascending; `+Inf` is added */
export function createHistogram<Labels extends readonly string[]>(
  spec: MetricSpec,
  bounds: readonly number[],
): Histogram<Labels> & Exposed {
  const upper = Float64Array.from(bounds)
  const cells = new Cells(() => ({ counts: new Float64Array(upper.length + 1), sum: 0 }))
  return {
    observe(value, ...labels) {
      const cell = cells.get(labels)
      let i = 0
      while (i < upper.length && value > (upper[i] ?? 0)) i++
      cell.counts[i] = (cell.counts[i] ?? 0) + 1
      cell.sum += value
    },
    expose() {
      let text = header(spec, 'histogram')
      for (const { labels, cell } of cells.all()) {
        let cumulative = 0
        for (const [i, count] of cell.counts.entries()) {
          cumulative += count
          const le = i < upper.length ? number(upper[i] ?? 0) : '+Inf'
          text += `${spec.name}_bucket${labelText([...spec.labels, 'le'], [...labels, le])} ${cumulative}\n`
        }
        const own = labelText(spec.labels, labels)
        text += `${spec.name}_sum${own} ${number(cell.sum)}\n${spec.name}_count${own} ${cumulative}\n`
      }
      return text
    },
  }
}

/** A value that is read when it is asked for. */
export function createReading(spec: MetricSpec, type: 'gauge' | 'counter', read: () => number): Exposed {
  return { expose: () => `${header(spec, type)}${spec.name} ${number(read())}\n` }
}

function header(spec: MetricSpec, type: string): string {
  return `# HELP ${spec.name} ${spec.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${spec.name} ${type}\n`
}

function simple(
  spec: MetricSpec,
  series: readonly { readonly labels: readonly string[]; readonly cell: { readonly value: number } }[],
): string {
  return series
    .map(({ labels, cell }) => `${spec.name}${labelText(spec.labels, labels)} ${number(cell.value)}\n`)
    .join('')
}

function labelText(names: readonly string[], values: readonly string[]): string {
  if (names.length === 0) return ''
  return `{${names.map((name, i) => `${name}="${escapeLabel(values[i] ?? '')}"`).join(',')}}`
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function number(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}
