import { readdirSync, readFileSync } from 'node:fs'

// What benchmarks count: processor time of somebody else's process. Requests per second say little on a machine that others use as well.

/** A process and all that it has started, and what those have. */
export function processTree(pid: number): readonly number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1').replace(/^.*\) /s, '')
      const parent = Number(stat.split(' ')[1])
      children.set(parent, [...(children.get(parent) ?? []), Number(name)])
    } catch {
      // It ended meanwhile.
    }
  }
  const tree = [pid]
  for (const parent of tree) tree.push(...(children.get(parent) ?? []))
  return tree
}

/** µs of processor time that the threads of a process have used so far; the kernel counts in nanoseconds. */
export function cpuMicroseconds(pid: number): number {
  const folder = `/proc/${pid}/task`
  try {
    return readdirSync(folder).reduce((sum, task) => sum + threadMicroseconds(`${folder}/${task}`), 0)
  } catch {
    // It ended meanwhile.
    return 0
  }
}

function threadMicroseconds(folder: string): number {
  try {
    return Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0]) / 1000
  } catch {
    return 0
  }
}

/** The same of a process, all that it has started, and what those have. */
export function treeCpuMicroseconds(pid: number): number {
  return processTree(pid).reduce((sum, each) => sum + cpuMicroseconds(each), 0)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle) - 1] ?? Number.NaN)) / 2
}
