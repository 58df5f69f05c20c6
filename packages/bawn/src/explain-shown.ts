import type { Identity } from './authn/identity.ts'
import type { Steps } from './explanation.ts'
import type { Route } from './http/routes.ts'
import { disclosureText, type KnownField } from './known-fields.ts'
import type { Action } from './policy/policy.ts'

/**
 * What a route would tell its backend of rows and fields.
 *
 * @param fields their names
 * @returns the rule by which the request would be refused; `undefined` when it would go on
 */
export function explainHints(
  { hints }: Route,
  fields: readonly string[] = [],
  known: readonly KnownField[],
  identity: Identity | undefined,
  action: Action,
  steps: Steps,
): string | undefined {
  const rows = hints?.hasRows === true ? hints.rows(identity, action) : undefined
  if (rows?.kind === 'refused') {
    steps.add('hint', `refused, by ${rows.rule}: ${rows.code}`)
    return rows.rule
  }
  if (rows !== undefined) steps.add('hint', `rows, by ${rows.rule}: ${JSON.stringify(rows.rows)}`)
  for (const name of fields) {
    const of = known.find(({ field }) => field.name === name)
    if (of !== undefined) steps.add('hint', `field ${name}: ${disclosureText(of.disclosure(identity?.roles ?? []))}`)
  }
  return undefined
}

/** What an answer of a route would show of each field that has a place there. @param segments of the path */
export function explainPlaces(
  route: Route,
  segments: readonly string[],
  known: readonly KnownField[],
  identity: Identity | undefined,
  steps: Steps,
): void {
  for (const place of route.fields(segments)?.places ?? []) {
    const of = known.find(({ field }) => field === place.field)
    const shown = of ? disclosureText(of.disclosure(identity?.roles ?? [])) : 'withheld'
    steps.add('field', `${place.field.name} in ${jsonPathText(place.path)}: ${shown}`)
  }
}

const jsonPathText = (path: readonly string[]): string =>
  `$${path.map(step => (step === '*' ? '[*]' : `.${step}`)).join('')}`
