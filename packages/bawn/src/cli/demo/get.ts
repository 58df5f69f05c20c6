import type { Command } from '../command.ts'
import { CliError } from '../error.ts'

/** Stands in for curl in the tour where curl is not installed. */
export const get: Command = {
  name: 'demo get',
  summary: 'send a request as curl would; for machines without curl',
  positionals: ['URL'],
  options: {
    token: { value: 'TOKEN', help: 'bearer token' },
    data: { value: 'JSON', help: 'send this by POST' },
  },
  notes: ['Status and headers go to standard error when the answer is a refusal; the exit status is then 1.'],
  async run(input) {
    const [url = ''] = input.positionals
    if (!URL.canParse(url)) throw new CliError('cli.usage', 'URL begins with http:// or https://')
    const { terminal } = input
    const [token, data] = [input.text('token'), input.text('data')]
    const headers = new Headers({ 'content-type': 'application/json' })
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`)
    let answer: Response
    try {
      answer = await fetch(url, { headers, ...(data === undefined ? {} : { method: 'POST', body: data }) })
    } catch (cause) {
      throw new CliError('cli.failed', `${new URL(url).origin} does not answer`, { cause })
    }
    if (!answer.ok) {
      terminal.err(`HTTP/1.1 ${answer.status} ${answer.statusText}\n`)
      for (const [name, value] of answer.headers) terminal.err(`${name}: ${value}\n`)
    }
    terminal.out(`${await answer.text()}\n`)
    return answer.ok ? 0 : 1
  },
}
