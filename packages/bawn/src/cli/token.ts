import { resolveSecret } from '../config/secret.ts'
import type { Command, Input } from './command.ts'
import { CliError } from './error.ts'
import { readSecret } from './secret-input.ts'

/** Largest answer of a token endpoint that is read, in bytes. */
const maxAnswerBytes = 65_536

/** RFC 6749 section 2.3.1: both parts are form-encoded before they go into Basic. */
function basicOf(client: string, secret: string): string {
  const encode = (text: string): string => new URLSearchParams({ x: text }).toString().slice(2)
  return `Basic ${Buffer.from(`${encode(client)}:${encode(secret)}`).toString('base64')}`
}

async function clientSecret(input: Input, client: string): Promise<string> {
  const reference = input.text('secret')
  if (reference === undefined) return readSecret(input.terminal, `Secret of ${client}`, false)
  const { value, warning } = resolveSecret(reference, input.terminal.env)
  if (warning !== undefined) input.terminal.err(`warning: ${warning}\n`)
  return value
}

/** An OAuth error code (RFC 6749 section 5.2) and nothing else of the answer: the rest is text of a stranger. */
function errorCodeOf(document: unknown): string {
  const code = typeof document === 'object' && document !== null && 'error' in document ? document.error : undefined
  return typeof code === 'string' && /^[a-z_]{1,64}$/.test(code) ? `: ${code}` : ''
}

async function documentOf(answer: Response): Promise<unknown> {
  if (Number(answer.headers.get('content-length') ?? 0) > maxAnswerBytes) return undefined
  const text = await answer.text()
  try {
    return text.length > maxAnswerBytes ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

const token: Command = {
  name: 'token',
  summary: 'fetch an access token from an issuer and print it, for a try at the doors',
  options: {
    url: { value: 'URL', help: 'token endpoint of the issuer' },
    client: { value: 'ID', help: 'client that asks' },
    secret: { value: 'REF', help: 'env:NAME or file:path of its secret (default: ask, or standard input)' },
    user: { value: 'NAME', help: 'password grant for this user; the password is in --password' },
    password: { value: 'REF', help: 'env:NAME or file:path of the user’s password' },
    scope: { value: 'SCOPE', help: 'scope to ask for' },
  },
  async run(input) {
    const { terminal } = input
    const [url, client] = [input.need('url'), input.need('client')]
    if (!URL.canParse(url) || !/^https?:/i.test(url)) throw new CliError('cli.usage', '--url is an http(s) URL')
    const secret = await clientSecret(input, client)
    const user = input.text('user')
    const scope = input.text('scope')
    const form = new URLSearchParams({ grant_type: user === undefined ? 'client_credentials' : 'password' })
    if (user !== undefined) {
      form.set('username', user)
      form.set('password', resolveSecret(input.need('password'), terminal.env).value)
    }
    if (scope !== undefined) form.set('scope', scope)
    let answer: Response
    try {
      const headers = { authorization: basicOf(client, secret), accept: 'application/json' }
      answer = await fetch(url, { method: 'POST', headers, body: form, redirect: 'error' })
    } catch (cause) {
      throw new CliError('cli.failed', `${new URL(url).origin} does not answer`, { cause })
    }
    const document = await documentOf(answer)
    const value =
      typeof document === 'object' && document !== null && 'access_token' in document
        ? document.access_token
        : undefined
    if (!answer.ok || typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
      throw new CliError('cli.failed', `the issuer gave no token (${answer.status}${errorCodeOf(document)})`)
    }
    terminal.out(`${value}\n`)
    return 0
  },
}

export const commands: readonly Command[] = [token]
