import type { Identity } from '../../authn/identity.ts'
import type { Turn } from '../turn.ts'

/** Who logged in or out: a line of its own, written before anybody has the answer. */
export function tellLogin(turn: Turn, identity: Identity, action: 'login' | 'logout'): void {
  const { state, request, requestId, rule } = turn
  state.trail.emit({
    kind: 'login',
    requestId,
    door: 'http',
    identity,
    address: request.remoteAddress,
    action,
    resource: 'oidc',
    decision: 'permit',
    rule,
  })
  state.trail.commit()
}
