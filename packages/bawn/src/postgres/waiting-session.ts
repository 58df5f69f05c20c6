import type { Socket } from 'node:net'
import type { GatewayError } from '../error.ts'
import type { Place, PlaceAnswer } from '../limits/session-slots.ts'
import type { OpenSession } from './sessions.ts'
import type { SessionSummary } from './state.ts'

/** Somebody who waits for a place in a database: listed, and ended, as a session is. */
export class WaitingSession implements OpenSession {
  readonly summary: SessionSummary
  /** `undefined`: it left before it had one. */
  readonly place: Promise<Place | undefined>
  readonly #leave: () => void
  /** Why it was sent away. */
  ended: GatewayError | undefined

  constructor(
    about: Omit<SessionSummary, 'server' | 'now'>,
    client: Socket,
    { place, withdraw }: Extract<PlaceAnswer, { readonly kind: 'waiting' }>,
  ) {
    const { promise: left, resolve } = Promise.withResolvers<undefined>()
    this.summary = {
      ...about,
      server: undefined,
      now: () => ({ activity: 'waiting', since: about.since, bytesIn: 0, bytesOut: 0 }),
    }
    this.#leave = () => {
      withdraw()
      resolve(undefined)
    }
    client.once('close', this.#leave)
    this.place = Promise.race([place, left]).finally(() => client.off('close', this.#leave))
    if (client.destroyed) this.#leave()
  }

  async cancel(): Promise<void> {}

  end(error: GatewayError): void {
    this.ended = error
    this.#leave()
  }

  drain(error: GatewayError): void {
    this.end(error)
  }
}
