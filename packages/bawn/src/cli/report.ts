import { GatewayError } from '../error.ts'
import type { Terminal } from './command.ts'
import { CliError } from './error.ts'
import { printable } from './terminal-text.ts'

/**
 * Why, as far as it may be said: the messages of what the operating system or the network answered. Messages of parsers are left
 * out, because they quote what they read.
 */
function reasonOf(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const isSystem =
      'code' in cause && typeof cause.code === 'string' && /^(E[A-Z0-9]+|UND_ERR_[A-Z_]+)$/.test(cause.code)
    if (isSystem && cause !== error && !(cause instanceof AggregateError)) return cause.message
    // Several addresses were tried: the first failure speaks for all.
    if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message
  }
  return undefined
}

/** What to do next; `undefined` where the message says all that we know. */
function hintOf(error: GatewayError): string | undefined {
  if (error instanceof CliError && (error.suggestion !== undefined || error.code === 'cli.failed'))
    return error.suggestion
  return error.spec.hint
}

/**
 * Prints an error the one way that all commands do.
 *
 * @param asJson on standard output, as a document
 * @returns the exit status
 */
export function reportError(error: unknown, terminal: Terminal, asJson: boolean): 1 | 2 {
  if (!(error instanceof GatewayError)) {
    // Something nobody foresaw: the stack helps whoever reports it, and the message may be long.
    terminal.err(`error: gateway.bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    return 1
  }
  const reason = reasonOf(error)
  if (asJson) {
    const { code, message } = error
    terminal.out(`${JSON.stringify({ error: { code, message, reason, hint: hintOf(error) } })}\n`)
  } else {
    // Messages name what was given and what the configuration says.
    terminal.err(`error: ${error.code}: ${printable(error.message + (reason === undefined ? '' : ` (${reason})`))}\n`)
    const hint = hintOf(error)
    if (hint !== undefined) terminal.err(`hint: ${printable(hint)}\n`)
  }
  return error.code === 'cli.usage' ? 2 : 1
}
