import type { ErrorCode } from '../../error.ts'
import type { RefusedPlan } from './plan.ts'

/**
 * Thrown inside the analysis only, caught by `planner.ts`, where it becomes the plan `refused`: the reason is found many calls
 * deep in a tree, and every level above has nothing to add. Never thrown out of this folder.
 */
export class Refusal extends Error {
  readonly code: ErrorCode
  readonly hint: string
  /** Byte offset in the text. */
  readonly offset: number | undefined

  constructor(code: ErrorCode, message: string, hint: string, offset?: number | undefined) {
    super(message)
    this.name = 'Refusal'
    this.code = code
    this.hint = hint
    this.offset = offset
  }
}

/** The plan that says so. */
export function refusedPlan({ code, message, hint, offset }: Refusal): RefusedPlan {
  return { kind: 'refused', code, message, hint, offset }
}

/** A view, partition or child that was just made: which of its columns are protected is read when its transaction has ended. */
export function unreadName(name: string): Refusal {
  return new Refusal(
    'postgres.statement_refused',
    `"${name}" was made or changed in this transaction, and the gateway does not know its columns yet`,
    'Use it after COMMIT, in a statement of its own',
  )
}
