import type { HintUse } from '../audit/event.ts'
import { unicodeEscape } from '../audit/line.ts'
import type { Identity } from '../authn/identity.ts'
import type { Catalogue, Disclosure } from '../fields/field.ts'
import { CelError } from '../policy/cel/fault.ts'
import { compileValue, whyNoAnswer } from '../policy/expression.ts'
import type { Facts, PolicyUse } from '../policy/facts.ts'
import type { Action, Gate } from '../policy/policy.ts'
import type { HintsOptions, RowsOptions } from './hint-option.ts'
import { type Bound, bindCondition, namesIn, type RowCondition } from './row-condition.ts'
import { nobody } from './state.ts'

/** What a backend is told of a decision. */
export interface Hint {
  /** JSON in ASCII: nothing in it ends a header. */
  readonly text: string
  readonly value: {
    readonly rows?: RowCondition
    readonly fields?: Readonly<Record<string, Disclosure['kind']>>
  }
  /** For the trail. */
  readonly told: HintUse
}

/** Without a hint, a request that should have one does not go on. */
export interface NoHint {
  readonly kind: 'refused'
  readonly code: 'policy.denied' | 'http.unusable_claim' | 'http.hint_too_long'
  /** Who decided, for the trail. */
  readonly rule: string
}

interface RowsGiven {
  readonly kind: 'rows'
  readonly rule: string
  readonly rows: RowCondition
  /** For the trail. */
  readonly told: HintUse
}
export type RowsDecision = NoHint | RowsGiven
export type HintDecision = NoHint | { readonly kind: 'hint'; readonly hint: Hint }

export interface Hints {
  readonly hasRows: boolean
  /** Which rows the backend should give; only where `hasRows`. Throws where grants cannot be read. */
  rows(identity: Identity | undefined, action: Action): RowsDecision
  /** All of it, anew for each request: nothing of one caller is kept for another. */
  decide(identity: Identity | undefined, action: Action): HintDecision
}

export interface HintSurroundings {
  gate(allow: readonly string[], use: PolicyUse): Gate
  readonly catalogue: Catalogue
  /** ms since 1970 */
  readonly clock: () => number
}

/** @returns what is wrong with it in words. @throws {PolicyError} {CelError} for policies and expressions that cannot be asked here */
export function compileHints(options: HintsOptions, use: PolicyUse, around: HintSurroundings): Hints | string {
  const { catalogue, clock } = around
  const fields = (options.fields ?? []).map(name => ({ name, field: catalogue.find(name) }))
  const missing = fields.find(({ field }) => field === undefined)
  if (missing !== undefined) return `fields: no field is named ${missing.name}`
  const entries = (options.rows ?? []).map((entry, at) => compileRows(entry, `hints.rows.${at}`, use, around))

  const rows: Hints['rows'] = (identity, action) => {
    const facts: Facts = { identity, request: action.request, response: undefined, now: clock }
    for (const entry of entries) {
      const decision = entry(identity, action, facts)
      if (decision !== undefined) return decision
    }
    return { kind: 'refused', code: 'policy.denied', rule: 'no entry of hints.rows' }
  }
  const shown = (identity: Identity | undefined) =>
    Object.fromEntries(
      fields.flatMap(({ name, field }) =>
        field === undefined ? [] : [[name, catalogue.view(field, identity ?? nobody).disclosure.kind] as const],
      ),
    )
  return {
    hasRows: entries.length > 0,
    rows,
    decide(identity, action) {
      const decided = entries.length === 0 ? undefined : rows(identity, action)
      if (decided?.kind === 'refused') return decided
      const seen = fields.length === 0 ? {} : { fields: shown(identity) }
      const value = { ...(decided === undefined ? {} : { rows: decided.rows }), ...seen }
      const text = asciiJson(value)
      // Cut, it could say something else.
      if (text.length > options.max_bytes) {
        return { kind: 'refused', code: 'http.hint_too_long', rule: decided?.rule ?? 'hints.fields' }
      }
      return { kind: 'hint', hint: { text, value, told: { ...decided?.told, ...seen } } }
    },
  }
}

type Rows = (identity: Identity | undefined, action: Action, facts: Facts) => RowsDecision | undefined

/** @returns a function that says nothing where the entry is not for somebody */
function compileRows({ for: who, where, values }: RowsOptions, rule: string, use: PolicyUse, around: HintSurroundings) {
  const gate = around.gate(who, use)
  const expressions = new Map(Object.entries(values).map(([name, text]) => [name, compileValue(text, use)]))
  const names = [...namesIn(where)]
  const ofCaller = names.some(name => !expressions.has(name))
  const fromRequest = names.filter(name => values[name] !== undefined && !asksAboutWho(values[name]))
  const condition = typeof where === 'string' ? where : JSON.stringify(where)
  const tell = (bound: Readonly<Record<string, Bound>>): HintUse => ({
    ...{ by: rule, where: condition, values: bound },
    ...(fromRequest.length === 0 ? {} : { fromRequest }),
  })
  const decide: Rows = (identity, action, facts) => {
    const decision = gate.decide(identity, action)
    if (decision.kind === 'deny') {
      // Whether it is for them cannot be told: an entry behind it may show more.
      if (decision.reason === undefined) return undefined
      return { kind: 'refused', code: 'policy.denied', rule: `${rule}, ${decision.reason}` }
    }
    if (ofCaller && identity === undefined) return { kind: 'refused', code: 'policy.denied', rule }
    const { id, roles } = identity ?? nobody
    const value = (name: string): Bound => expressions.get(name)?.(facts) ?? (name === 'user' ? id : roles)
    try {
      const bound = Object.fromEntries(names.map(name => [name, value(name)]))
      const rows = bindCondition(where, name => bound[name] ?? '')
      const known = Object.entries(bound).filter(([name]) => !fromRequest.includes(name))
      return { kind: 'rows', rule, rows, told: tell(Object.fromEntries(known)) }
    } catch (cause) {
      return { kind: 'refused', code: 'http.unusable_claim', rule: `${rule}, ${whyNoAnswer(cause)}` }
    }
  }
  return decide
}

/** Whether an expression names nothing of the request. It is known to be one. */
function asksAboutWho(text: string): boolean {
  try {
    compileValue(text, { kind: 'identity' })
    return true
  } catch (error) {
    if (error instanceof CelError) return false
    throw error
  }
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, unicodeEscape)
}
