/** An expression that has no answer for this input: a key is missing, a value has another type, it takes too long. Whoever asked, denies. */
export class CelFault extends Error {}

// Made once: taking a stack for each request that lacks a claim would cost more than the decision.
export const noOverload: CelFault = new CelFault('a value has another type than this needs')
export const noSuchKey: CelFault = new CelFault('no such key')
export const tooManySteps: CelFault = new CelFault('too many steps')

export function raise(fault: CelFault): never {
  throw fault
}

/** An expression that cannot be used, found when it is compiled. */
export class CelError extends Error {
  /** Offsets in the text, in UTF-16 units. */
  readonly start: number
  readonly end: number
  /** What would fit. */
  readonly suggestion: string | undefined
  constructor(message: string, span: Span, suggestion?: string) {
    super(message)
    this.start = span.start
    this.end = span.end
    this.suggestion = suggestion
  }
}

export interface Span {
  readonly start: number
  readonly end: number
}
