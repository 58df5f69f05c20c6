import { framing } from './framing.ts'
import { engines, exchange, type Gateway } from './gateway.ts'
import { heads } from './heads.ts'
import { paths } from './paths.ts'
import type { Payload } from './payload.ts'
import type { Server } from './servers.ts'

export const payloads: readonly Payload[] = [...framing, ...heads, ...paths]

/** What becomes of a payload at something that speaks HTTP: it is served, or not. */
export interface Row {
  readonly name: string
  readonly because: string | undefined
  readonly servedBy: readonly string[]
}

/** Sends each payload to each of them, with nothing behind it. */
export async function compareFronts(
  gateway: Gateway,
  others: Readonly<Record<string, Server>>,
): Promise<readonly Row[]> {
  const ports = [
    ...engines.map(engine => [`Bawn, ${engine}`, gateway.ports[engine]] as const),
    ...Object.entries(others).map(([name, { port }]) => [name, port] as const),
  ]
  const rows: Row[] = []
  for (const { name, text, because, open } of payloads) {
    const served = await Promise.all(
      ports.map(async ([who, port]) => {
        const answer = await exchange(port, open === true ? text : text + last, open, 5_000)
        return isServed(answer) ? [who] : []
      }),
    )
    rows.push({ name, because, servedBy: served.flat() })
  }
  return rows
}

const last = 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'

/** Whether the first answer is a good one; of HTTP/0.9 it has no status. */
function isServed(text: string): boolean {
  const rest = text.replace(/^(?:HTTP\/1\.1 1\d\d [\s\S]*?\r\n\r\n)+/, '')
  return rest !== '' && (!rest.startsWith('HTTP/') || /^HTTP\/1\.[01] 2/.test(rest))
}

/** Markdown: what Bawn refuses and others serve, and the other way round. */
export function table(rows: readonly Row[]): string {
  const others = ['nginx', 'haproxy', 'node:http']
  const mark = (isServed: boolean): string => (isServed ? 'served' : 'refused')
  const lines = rows
    .map(({ name, because, servedBy }) => {
      const ours = servedBy.some(who => who.startsWith('Bawn'))
      return { name, because, ours, theirs: others.map(other => servedBy.includes(other)) }
    })
    .filter(({ ours, theirs }) => theirs.some(isServed => isServed !== ours))
    .map(({ name, because, ours, theirs }) => {
      const cells = [`\`${name.replaceAll('|', '\\|')}\``, mark(ours), ...theirs.map(mark), because ?? '']
      return `| ${cells.join(' | ')} |`
    })
  return [`| | Bawn | ${others.join(' | ')} | why it passes |`, '|---|---|---|---|---|---|', ...lines].join('\n')
}

/** Puts the table where the page has one. */
export function fold(page: string, text: string): string {
  return page.replace(
    /(<!-- fronts -->\n)[\s\S]*?(\n<!-- end of fronts -->)/,
    (_, start, end) => `${start}${text}${end}`,
  )
}
