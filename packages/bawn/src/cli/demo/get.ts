import { parseArgs } from 'node:util'

/**
 * `bawn demo get [--token TOKEN] [--data JSON] URL`: stands in for curl in the tour where curl is not installed. Status and headers
 * go to standard error when the answer is a refusal.
 *
 * @returns 0, or 1 when the answer is a refusal
 */
export async function get(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { token: { type: 'string' }, data: { type: 'string' } },
    allowPositionals: true,
  })
  const answer = await fetch(positionals[0] ?? '', {
    ...(values.data === undefined ? {} : { method: 'POST', body: values.data }),
    headers: {
      ...(values.token === undefined ? {} : { authorization: `Bearer ${values.token}` }),
      'content-type': 'application/json',
    },
  })
  if (!answer.ok) {
    console.error(`HTTP/1.1 ${answer.status} ${answer.statusText}`)
    for (const [name, value] of answer.headers) console.error(`${name}: ${value}`)
  }
  console.log(await answer.text())
  return answer.ok ? 0 : 1
}
