import { createInterface } from 'node:readline'

// What the programs in TypeScript have in common: a login is a line of a form on standard input, and its outcome a line on standard output.

export type Login = Readonly<Record<string, string>>

/** Says what it is, then runs each login that is asked for, one after the other. */
export async function serve(version: string, run: (login: Login) => Promise<Record<string, unknown>>): Promise<void> {
  const answer = (outcome: Record<string, unknown>): void => {
    const form = new URLSearchParams()
    for (const [name, value] of Object.entries(outcome)) form.set(name, String(value))
    process.stdout.write(`${form}\n`)
  }
  answer({ version })
  for await (const line of createInterface(process.stdin)) {
    const login = Object.fromEntries(new URLSearchParams(line))
    answer(await run(login).catch(failure))
  }
}

function failure(error: unknown): Record<string, unknown> {
  const text = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'code' in error ? { code: error.code } : {}
  return { error: text.replaceAll(/\s+/g, ' ') || 'no message', ...code }
}
