import type { Unread } from '../grants/reading.ts'
import type { RefusedPlan } from '../sql/plan.ts'
import type { Firewall, FirewallVerdict } from './firewall.ts'
import type { StatementMatch, TextMatch } from './rules.ts'

type Denied = Extract<FirewallVerdict, { readonly kind: 'denied' }>

/** What is told of a text that goes on. */
export interface FirewallNotes {
  /** Would have been refused, but the firewall only observes. */
  readonly observed: { readonly action: string; readonly rule: string } | undefined
  /** To be collected. */
  readonly learned: readonly StatementMatch[]
}

/** Classes of what a text holds, for the trail: `SELECT+DDL`. */
function actionOf(match: TextMatch | Unread): string {
  if (match.kind === 'unread') return 'statement'
  const classes = new Set(match.statements.flatMap(statement => [...statement.classes]))
  return [...classes].slice(0, 8).join('+') || 'statement'
}

/** How rules are called in the trail. */
function ruleOf({ rule }: Denied): string {
  return `firewall: ${rule}`
}

/** @param database by its name in the configuration */
export function refusalOf(verdict: Denied, match: TextMatch | Unread, database: string): RefusedPlan {
  const denial = { rule: ruleOf(verdict), action: actionOf(match), resource: database }
  if (match.kind === 'unread') {
    return {
      kind: 'refused',
      code: verdict.rule === 'unreadable' ? match.code : 'postgres.statement_denied',
      message: verdict.rule === 'unreadable' ? match.message : messageOf(verdict),
      hint: 'With a firewall a statement is forwarded only when it was understood: correct the syntax, or make it shorter',
      offset: match.offset,
      denial,
    }
  }
  return {
    kind: 'refused',
    code: 'postgres.statement_denied',
    message: messageOf(verdict),
    hint: verdict.named
      ? 'Ask the operator about this rule: bawn explain sql tells which rule decides over a statement'
      : 'Ask the operator for a rule that allows it: bawn explain sql tells which rule decides over a statement',
    offset: undefined,
    denial,
  }
}

function messageOf({ rule, named, what }: Denied): string {
  if (what !== undefined) return `${what} (firewall rule "${rule}")`
  if (!named) return 'statement refused by the firewall: no rule allows it'
  if (rule === 'max_statements') return 'statement refused by the firewall: max_statements, too many in one message'
  return `statement refused by firewall rule "${rule}"`
}

/** `undefined`: nothing to tell, as of nearly everything. */
export function notesOf(
  { options }: Pick<Firewall, 'options'>,
  verdict: FirewallVerdict,
  match: TextMatch | Unread,
): FirewallNotes | undefined {
  const learned = options.learn === undefined || match.kind === 'unread' ? [] : match.statements
  if (verdict.kind === 'denied') return { observed: { action: actionOf(match), rule: ruleOf(verdict) }, learned }
  return learned.length === 0 ? undefined : { observed: undefined, learned }
}
