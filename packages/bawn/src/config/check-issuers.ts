import { suggest } from '../nearest.ts'
import type { Draft } from './draft.ts'
import { aboutPath } from './issue.ts'
import type { Report } from './report.ts'

/** Issuers against themselves, and the checks that plug-ins have for their tokens. */
export function checkIssuers(draft: Draft, report: Report): void {
  for (const [name, issuer] of draft.issuers) {
    if (!issuer) continue
    const path = ['issuers', name, 'jwks']
    if (typeof issuer.jwks === 'string' && /^http:/i.test(issuer.jwks) && !issuer.insecure_http) {
      const message = 'a key set over plain HTTP can be replaced on the way'
      report('error', path, 'value', message, 'use https, or say insecure_http: true where this is a test')
    }
    if (
      issuer.discovery &&
      !/^https:/i.test(issuer.issuer) &&
      !(issuer.insecure_http && /^http:/i.test(issuer.issuer))
    ) {
      const message = 'discovery asks the issuer itself, which has to be an https URL'
      report('error', ['issuers', name, 'issuer'], 'value', message, 'name its key set: jwks')
    }
    for (const [place, { check, ...written }] of issuer.checks.entries()) {
      const at = ['issuers', name, 'checks', place]
      const judge = draft.kinds.checks.get(check)
      if (judge === undefined) {
        const suggestion =
          suggest(check, [...draft.kinds.checks.keys()]) ?? 'name the plug-in that has it under plugins'
        report('error', [...at, 'check'], 'value', `no check is called "${check}"`, suggestion)
        continue
      }
      for (const { path: inside, message } of judge(written)) {
        const where = [...at, ...inside]
        report('error', where, 'value', aboutPath(where, message))
      }
    }
  }
}
