import { workerCount } from '../workers/option.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import type { Report } from './report.ts'

/** What cannot be right with several workers is refused, and said where it is. @param platform `process.platform` */
export function checkWorkers(draft: Draft, report: Report, platform: string = process.platform): void {
  const count = draft.workers === undefined ? 1 : workerCount(draft.workers)
  if (count === 1) return
  if (platform !== 'linux') {
    const message = `several workers share a port as Linux lets them, and this is ${platform}`
    report('error', ['workers'], 'value', message, 'leave workers out: one is the default')
  }
  const shared = (path: ConfigPath, entry: object | undefined): void => {
    if (entry === undefined || !('max_connections' in entry) || typeof entry.max_connections !== 'number') return
    if (entry.max_connections >= count) return
    const message = `max_connections is ${entry.max_connections}, and ${count} workers need one each`
    report('error', path, 'key', message, `max_connections: ${count}, or fewer workers`)
  }
  for (const section of ['listeners', 'upstreams', 'accounts'] as const) {
    for (const [name, entry] of draft[section]) shared([section, name], entry)
  }
  for (const [name, database] of draft.databases) {
    const size = database?.pool?.size
    if (size === undefined || size >= count) continue
    const message = `the pool has ${size} connections, and ${count} workers need one each`
    report('error', ['databases', name, 'pool'], 'key', message, `size: ${count}, or fewer workers`)
  }
  const tokens = draft.tokens.options
  if (tokens !== undefined && 'max_per_subject' in tokens && tokens.max_per_subject < count) {
    const message = `max_per_subject is ${tokens.max_per_subject}, and each of ${count} workers gives a subject a token of its own`
    report('error', ['tokens'], 'key', message, `max_per_subject: ${count}, or fewer workers`)
  }
  for (const name of draft.plugins.keys()) {
    const message = `${count} workers load this plug-in ${count} times: what it keeps in memory, each keeps for itself`
    report('warning', ['plugins', name], 'key', message, 'see that it counts nothing there, or set workers: 1')
  }
}
