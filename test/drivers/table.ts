import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Cell,
  type Client,
  httpClients,
  httpMechanisms,
  type Mechanism,
  postgresClients,
  postgresMechanisms,
} from './matrix.ts'

// The tables of docs/clients.md, made of the matrix. No tests in here.

export const page = join(import.meta.dirname, '../../docs/clients.md')
const versionsMark = 'driver versions'

/** What stands between the marks of the page, but for the versions, which only a run knows. */
export const sections: Readonly<Record<string, string>> = {
  'drivers at the PostgreSQL door': overview(postgresMechanisms, postgresClients),
  'drivers at the HTTP door': overview(httpMechanisms, httpClients),
  'each driver at the PostgreSQL door': each(postgresMechanisms, postgresClients),
  'each driver at the HTTP door': each(httpMechanisms, httpClients),
}

const clients: readonly { readonly id: string; readonly name: string }[] = [...postgresClients, ...httpClients]

/** The page as it is. */
export const readPage = (): string => readFileSync(page, 'utf8')

/** The same page with these sections in it, and where a run has them, the versions. @throws where it has no such marks */
export function rewritten(text: string, versions?: ReadonlyMap<string, string>): string {
  const all = versions === undefined ? sections : { ...sections, [versionsMark]: versionTable(versions) }
  return Object.entries(all).reduce((whole, [mark, table]) => replaced(whole, mark, table), text)
}

/** The clients whose versions the page states, in its order. */
export function namedInVersions(text: string): readonly string[] {
  const [, table = ''] = between(versionsMark).exec(text) ?? []
  return [...table.matchAll(/^\| (.+?) \| .*[0-9]\.[0-9].* \|$/gm)].map(([, name = '']) => name)
}

/** What it should state. */
export const clientNames: readonly string[] = clients.map(({ name }) => name)

const between = (mark: string): RegExp => new RegExp(`<!-- ${mark} -->\n([\\s\\S]*?)\n<!-- end of ${mark} -->`)

function replaced(text: string, mark: string, table: string): string {
  if (!between(mark).test(text)) throw new Error(`docs/clients.md has no <!-- ${mark} --> … <!-- end of ${mark} -->`)
  return text.replace(between(mark), () => `<!-- ${mark} -->\n${table}\n<!-- end of ${mark} -->`)
}

function versionTable(versions: ReadonlyMap<string, string>): string {
  return table(
    ['client', 'tried'],
    clients.map(({ id, name }) => [name, versions.get(id) ?? '']),
  )
}

function overview<Id extends string>(
  mechanisms: readonly (Mechanism & { id: Id })[],
  of: readonly Client<Id>[],
): string {
  const rows = mechanisms.map(({ id, title }) => [
    title,
    ...of.map(({ cells }) => ('cannot' in cells[id] ? 'no' : 'yes')),
  ])
  return table(['', ...of.map(({ name }) => name)], rows)
}

function each<Id extends string>(mechanisms: readonly (Mechanism & { id: Id })[], of: readonly Client<Id>[]): string {
  const rows = of.flatMap(({ name, cells }) =>
    mechanisms.map(({ id, title, use }) => [name, title, `\`[${use}]\``, ...described(cells[id])]),
  )
  return table(['client', 'mechanism', 'host rule: use', 'at the client', ''], rows)
}

function described(cell: Cell): readonly string[] {
  if ('cannot' in cell) return ['', `no: ${cell.cannot}`]
  return [cell.settings === '' ? '' : `\`${cell.settings}\``, 'yes']
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |')
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')
}
