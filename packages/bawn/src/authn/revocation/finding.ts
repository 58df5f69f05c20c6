import type { RevocationOptions } from '../../option.ts'
import { undecided } from './undecided.ts'

/** What somebody said about a certificate. */
export interface Answer {
  readonly kind: 'good' | 'revoked' | 'unknown'
  /** Who said it, for the log. */
  readonly by: string
  /** ms since 1970: from then on they are asked again. */
  readonly until: number
}

/** What one way of finding out came to, about one certificate. */
export type Finding =
  | Answer
  /** Nobody answered who could have. `why` is for the log. */
  | { readonly kind: 'silent'; readonly why: string }
  /** There is nobody to ask. */
  | { readonly kind: 'nobody' }

type Ocsp = NonNullable<RevocationOptions['ocsp']>

/**
 * Asks those whom the certificate names, those whom the configuration names, or both.
 *
 * @param ask is given at least one
 */
export async function askInOrder(
  mode: Ocsp['from_certificate'],
  named: readonly string[],
  configured: readonly string[],
  ask: (sources: readonly string[]) => Promise<Finding>,
): Promise<Finding> {
  const askAny = (sources: readonly string[]): Promise<Finding> =>
    sources.length === 0 ? Promise.resolve({ kind: 'nobody' }) : ask(sources)
  switch (mode) {
    case 'ignore':
      return askAny(configured)
    case 'use':
      return askAny([...new Set([...configured, ...named])])
    case 'prefer': {
      const first = await askAny(named)
      if (first.kind !== 'silent' && first.kind !== 'nobody') return first
      const second = await askAny(configured)
      return second.kind === 'nobody' ? first : second
    }
  }
}

/** What several responders say together: revoked wins, whoever says it. */
export function judgeAnswers(findings: readonly Finding[], required: Ocsp['required']): Finding {
  const of = (kind: Finding['kind']): Finding | undefined => findings.find(finding => finding.kind === kind)
  const first = of('revoked') ?? (required === 'require_good' ? of('silent') : undefined)
  if (first !== undefined) return first
  const silence = of('silent') ?? { kind: 'nobody' }
  if (required !== 'allow_unknown') return of('unknown') ?? of('good') ?? silence
  const unknown = of('unknown')
  return of('good') ?? (unknown && 'until' in unknown ? { ...unknown, kind: 'good' } : silence)
}

/**
 * What is found of all certificates of a chain together: what is wrong with one is wrong with the peer.
 *
 * @throws {AuthnError} `authn.revocation_undecided`
 */
export function combineFindings(findings: readonly Finding[]): Answer {
  const answers = findings.flatMap(finding => ('until' in finding ? [finding] : []))
  const bad = answers.find(({ kind }) => kind === 'revoked') ?? answers.find(({ kind }) => kind === 'unknown')
  if (bad !== undefined) return bad
  for (const finding of findings) if (finding.kind === 'silent') throw undecided(finding.why)
  return {
    kind: 'good',
    // Without anybody it is an authority itself: who believes it no more takes it out of the file.
    by: answers.map(({ by }) => by).join(', '),
    until: Math.min(...answers.map(({ until }) => until)),
  }
}
