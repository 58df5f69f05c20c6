import { randomUUID } from 'node:crypto'
import type { AuditEvent, AuditTrail } from './audit/event.ts'
import type { LoginOutcome, Metrics } from './audit/metrics.ts'
import type { LogEntry } from './postgres/state.ts'

const loginOutcomes: readonly string[] = [
  'malformed',
  'expired',
  'not-yet-valid',
  'untrusted',
  'wrong-audience',
  'wrong-password',
  'unknown-user',
  'locked',
  'name-mismatch',
  'no-roles',
  'revoked',
  'certificate-unknown',
] satisfies readonly LoginOutcome[]

function isLoginOutcome(text: string | undefined): text is LoginOutcome {
  return text !== undefined && loginOutcomes.includes(text)
}

function count(metrics: Metrics, event: AuditEvent): void {
  const { door } = event
  if (door === 'gateway') return
  if (event.kind === 'login') {
    // Whoever leaves has not come.
    if (event.action === 'logout' || event.action === 'token revoke') return
    const failed: LoginOutcome = isLoginOutcome(event.code) ? event.code : 'undecided'
    const outcome = event.identity === undefined ? failed : 'identified'
    metrics.logins.add(door, event.identity?.mechanism ?? 'none', outcome)
  } else {
    metrics.requests.add(door, event.decision)
    if (event.code?.includes('.') === true) metrics.errors.add(door, event.code)
  }
  for (const { field, as, count: values } of event.fields ?? []) metrics.fields.addMany(values, field, as)
}

/** The trail, with every event counted once it was accepted: what is measured is what the trail says. */
export function createMeteredTrail(trail: AuditTrail, metrics: Metrics): AuditTrail {
  return {
    emit(event) {
      trail.emit(event)
      count(metrics, event)
    },
    commit: () => trail.commit(),
    get head() {
      return trail.head
    },
    close: () => trail.close(),
  }
}

/** Tells the trail what the gateway itself has done; what cannot be told is in the log. */
export function tellGateway(
  { trail, log }: { readonly trail: AuditTrail; readonly log: (entry: LogEntry) => void },
  action: string,
  decision: 'permit' | 'error',
  resource = 'gateway',
  rule = 'operator',
): void {
  try {
    trail.emit({
      kind: 'gateway',
      requestId: randomUUID(),
      door: 'gateway',
      identity: undefined,
      address: undefined,
      action,
      resource,
      decision,
      rule,
    })
    trail.commit()
  } catch (cause) {
    log({ level: 'error', message: `${action} is not in the audit trail`, requestId: '-', cause })
  }
}
