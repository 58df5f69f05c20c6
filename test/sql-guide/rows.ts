import { copies } from './copies.ts'
import { objects } from './objects.ts'
import { queries } from './queries.ts'
import { sessions } from './sessions.ts'

// docs/guide/sql.md is these rows: `../sql-guide.test.ts` runs each through the gateway, on real servers, and holds the page to them.

export interface Row {
  /** One text, as a client sends it; `; COMMIT; ` ends a text and begins another. */
  readonly sql: string
  /** What happens, or for what is refused what to write instead: statements in it are run too. */
  readonly does: string
  /** Rows of the last statement, for who sees everything. */
  readonly gives?: readonly (readonly unknown[])[]
  /** Run outside of a transaction; undone by this, straight at the server. */
  readonly committed?: string
  /** Ciphertext comes out, and nothing else. */
  readonly ciphertext?: true
  /** Of COPY: what comes out for who sees everything, or what is sent; `latin1`. */
  readonly data?: string
  /** Of COPY FROM: asked for behind it, with what it gives. */
  readonly reads?: string
}

export interface Table {
  /** Of the mark in the page. */
  readonly name: string
  readonly kind: 'works' | 'copied-out' | 'copied-in' | 'refused'
  readonly rows: readonly Row[]
}

export const tables: readonly Table[] = [...queries, ...copies, ...objects, ...sessions]

const heads = {
  works: '| Works | What happens |\n|---|---|\n',
  'copied-out': '| Copied out | What happens |\n|---|---|\n',
  'copied-in': '| Copied in | What happens |\n|---|---|\n',
  refused: '| Refused | Write instead |\n|---|---|\n',
} as const

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function markdown({ kind, rows }: Table): string {
  return heads[kind] + rows.map(row => `| \`${cell(row.sql)}\` | ${cell(row.does)} |\n`).join('')
}

/** The page with its tables as they are here: each stands behind its mark, `<!-- rows: name -->`, up to an empty line. */
export function withTables(page: string): string {
  return page.replace(/^(<!-- rows: ([a-z-]+) -->\n\n)(?:\|.*\n)*/gm, (_, mark: string, name: string) => {
    const table = tables.find(one => one.name === name)
    if (table === undefined) throw new Error(`there are no rows "${name}"`)
    return mark + markdown(table)
  })
}
