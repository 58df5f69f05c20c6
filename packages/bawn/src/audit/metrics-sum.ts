// What several threads count, added up: expositions in (the text of `Metrics.expose`), one out.

/** What is the process's and not a thread's: as the first thread says. */
const ofProcess: readonly string[] = [
  'process_start_time_seconds',
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'bawn_audit_writable',
  'bawn_build_info',
]

interface Family {
  /** HELP and TYPE. */
  readonly head: string
  readonly isGauge: boolean
  /** Number by name and labels. */
  readonly series: Map<string, number>
}

/**
 * @param first of the first thread: everything of it counts
 * @param workers of those that run
 * @param ended of those that have ended: what they had counted stays, what they had open does not
 */
export function sumExpositions(first: string, workers: readonly string[], ended: readonly string[] = []): string {
  const families = parse(first)
  for (const text of workers) add(families, parse(text), () => true)
  for (const text of ended) add(families, parse(text), ({ isGauge }) => !isGauge)
  let text = ''
  for (const { head, series } of families.values()) {
    text += head
    for (const [name, value] of series) text += `${name} ${value}\n`
  }
  return text
}

function add(to: Map<string, Family>, from: ReadonlyMap<string, Family>, counts: (family: Family) => boolean): void {
  for (const [name, family] of from) {
    if (ofProcess.includes(name) || !counts(family)) continue
    const known = to.get(name) ?? { ...family, series: new Map<string, number>() }
    to.set(name, known)
    for (const [series, value] of family.series) known.series.set(series, (known.series.get(series) ?? 0) + value)
  }
}

function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  let current: Family | undefined
  let help = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('# HELP ')) help = line
    else if (line.startsWith('# TYPE ')) {
      const [, , name = '', type] = line.split(' ')
      current = { head: `${help}\n${line}\n`, isGauge: type === 'gauge', series: new Map() }
      families.set(name, current)
    } else if (line !== '') {
      const space = line.lastIndexOf(' ')
      current?.series.set(line.slice(0, space), Number(line.slice(space + 1)))
    }
  }
  return families
}
