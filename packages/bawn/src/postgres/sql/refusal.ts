import type { ErrorCode } from '../../error.ts'

/**
 * Thrown inside the analysis only, caught by `statement.ts`, where it becomes the plan `refused`: the reason is found many calls
 * deep in a tree, and every level above has nothing to add. Never leaves this folder.
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
