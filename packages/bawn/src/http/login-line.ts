import type { Identity } from '../authn/identity.ts'
import type { Turn } from './turn.ts'

/** Who logged in or out, or got a token: a line of its own, written before anybody has the answer. */
export function tellLogin(
  { state, request, requestId }: Turn,
  identity: Identity,
  done: {
    readonly action: 'login' | 'logout' | 'token issue' | 'token revoke'
    readonly resource: string
    readonly rule: string
  },
): void {
  state.trail.emit({
    kind: 'login',
    requestId,
    door: 'http',
    identity,
    address: request.remoteAddress,
    ...done,
    decision: 'permit',
  })
  state.trail.commit()
}
