import type { Terminal } from './command.ts'
import { CliError } from './error.ts'

/** Longest secret that is read, in bytes. */
const maxSecretBytes = 4096

/** One line without echo; the caller's terminal is as before afterwards, also when it ends in an interrupt. */
function promptHidden(terminal: Terminal, label: string): Promise<string> {
  const { stdin } = terminal
  terminal.err(`${label}: `)
  stdin.setRawMode?.(true)
  return new Promise((resolve, reject) => {
    let text = ''
    const end = (finish: () => void): void => {
      stdin.off('data', take)
      stdin.setRawMode?.(false)
      stdin.pause()
      terminal.err('\n')
      finish()
    }
    const take = (data: Buffer | string): void => {
      for (const character of data.toString()) {
        if (character === '\r' || character === '\n') {
          end(() => resolve(text))
          return
        }
        // Control-C and Control-D: raw mode hands them to us.
        if (character === '\u0003' || character === '\u0004') {
          end(() => reject(new CliError('cli.failed', 'no password was given')))
          return
        }
        if (character === '\u007f' || character === '\b') text = [...text].slice(0, -1).join('')
        else if (text.length < maxSecretBytes) text += character
      }
    }
    stdin.on('data', take)
    stdin.resume()
  })
}

/** The one line of standard input. @throws {CliError} `cli.usage` when there is more */
export async function readPipe(terminal: Terminal): Promise<string> {
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of terminal.stdin) {
    const bytes = Buffer.from(piece)
    length += bytes.length
    if (length > maxSecretBytes) throw new CliError('cli.usage', `a password has at most ${maxSecretBytes} bytes`)
    pieces.push(bytes)
  }
  const text = Buffer.concat(pieces)
    .toString('utf8')
    .replace(/\r?\n$/, '')
  if (/[\r\n]/.test(text)) throw new CliError('cli.usage', 'standard input has more than one line')
  return text
}

/**
 * Asks for a secret: without echo at a terminal, else the one line of standard input. Never from an argument: arguments show in
 * the list of processes and in the shell's history.
 *
 * @param again asks twice at a terminal, for a new secret
 */
export async function readSecret(terminal: Terminal, label: string, again: boolean): Promise<string> {
  if (!terminal.stdin.isTTY) return readPipe(terminal)
  const first = await promptHidden(terminal, label)
  if (again && (await promptHidden(terminal, `${label} again`)) !== first) {
    throw new CliError('cli.failed', 'the two are not the same')
  }
  return first
}
