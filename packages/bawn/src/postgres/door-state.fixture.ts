import { createLoginThrottle } from '../accounts/throttle.ts'
import { SessionSlots } from '../limits/session-slots.ts'
import type { DoorState } from './state.ts'

/** The part of a door's state by which somebody could log in, for tests in which nobody does. */
export function withoutLogins() {
  return {
    certificate: undefined,
    scram: undefined,
    jwt: undefined,
    password: undefined,
    trust: undefined,
    findAccount: async () => undefined,
    plugged: new Map(),
    token: undefined,
    tokenSource: undefined,
    throttle: createLoginThrottle({ now: () => 0 }),
    slots: new SessionSlots(),
  } satisfies Partial<DoorState>
}
