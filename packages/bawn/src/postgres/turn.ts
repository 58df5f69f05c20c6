import type { GatewayError } from '../error.ts'
import type { Administered } from './accounts.ts'
import type { Conversation } from './conversation.ts'
import type { Planned } from './planning.ts'
import type { FrameReader } from './wire/frame-reader.ts'

/** What a frame leads to: the next one, or a wait after which the same frame is looked at again. */
export type Step = 'next' | 'wait'

/** One frame of the client in its turn. */
export interface Turn {
  readonly talk: Conversation
  readonly reader: FrameReader
  /** Sends the frame on as it came. */
  forward(): void
  /** Plans at once, or leaves the frame waiting: `undefined`. An error refuses the statement. */
  plan(text: Uint8Array): Planned | GatewayError | undefined
  /** Logs what was thrown. @returns it as an error that may leave the gateway */
  failed(thrown: unknown): GatewayError
  /** Waits until everything up to the last Sync is answered. */
  wait(): Step
  /** Has the server answer what it has got, and waits until it has. */
  settle(): Step
  /** Carries a statement about accounts out while the frame waits. @param work never rejects */
  administer(work: Promise<Administered>): Step
  /** What came of it, once: when the frame is looked at again. */
  takeAdministered(): Administered | undefined
}
