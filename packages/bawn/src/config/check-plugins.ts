import type { Draft } from './draft.ts'
import type { Report } from './report.ts'

/**
 * Whoever a mechanism of a plug-in identifies has its name for a source, in tokens of ours and in open sessions: an account store or an
 * issuer of that name could not be told from it.
 */
export function checkPlugins(draft: Draft, report: Report): void {
  for (const mechanism of draft.kinds.mechanisms.keys()) {
    for (const section of ['accounts', 'issuers'] as const) {
      if (!draft[section].has(mechanism)) continue
      report('error', [section, mechanism], 'key', `a plug-in has a mechanism ${mechanism}`, 'choose another name')
    }
  }
}
