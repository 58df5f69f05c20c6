import { GatewayError } from '../error.ts'

/** The command line itself was used wrongly (exit 2), or could not do what it was asked (exit 1). */
export class CliError extends GatewayError<'cli.usage' | 'cli.failed'> {
  /** What to do next where the hint of the code says too little. */
  readonly suggestion: string | undefined

  constructor(code: 'cli.usage' | 'cli.failed', message: string, options: ErrorOptions & { suggestion?: string } = {}) {
    super(code, message, options)
    this.suggestion = options.suggestion
  }
}
