import { builtinPolicies, expressionProblem, routeUse } from '../policy/option.ts'
import type { Draft } from './draft.ts'
import { checkNames, type Report } from './report.ts'

/** What routes tell their backends of rows and fields: names of policies and fields, and the expressions of values. */
export function checkHints(draft: Draft, report: Report): void {
  const policies = [...builtinPolicies, ...draft.policies.keys()]
  const fields = draft.fields.flatMap(field => (field === undefined ? [] : [field.name]))
  for (const [index, route] of draft.routes.entries()) {
    if (route?.hints === undefined) continue
    const path = ['routes', index, 'hints']
    checkNames(report, [...path, 'fields'], route.hints.fields ?? [], fields, 'field')
    for (const [at, { for: who, values }] of (route.hints.rows ?? []).entries()) {
      checkNames(report, [...path, 'rows', at, 'for'], who, policies, 'policy')
      for (const [name, text] of Object.entries(values)) {
        const problem = expressionProblem(text, routeUse('request', route.path), 'value')
        if (problem === undefined) continue
        const { message, suggestion, start, end } = problem
        report('error', [...path, 'rows', at, 'values', name], 'value', message, suggestion, { start, end })
      }
    }
  }
}
