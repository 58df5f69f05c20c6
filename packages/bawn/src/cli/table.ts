import { printable } from './terminal-text.ts'

export interface Column {
  readonly name: string
  /** Numbers stand at the right. */
  readonly right: boolean
}

/** How many columns of a terminal a text takes: combining marks none, East Asian wide characters and emoji two. */
export function widthOf(text: string): number {
  let width = 0
  for (const character of text) {
    if (/\p{Mn}|\p{Me}/u.test(character)) continue
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
        character,
      )
        ? 2
        : 1
  }
  return width
}

const spaces = (count: number): string => ' '.repeat(Math.max(0, count))

/** Rows as psql aligns them: the heading in the middle, NULL empty, and how many there are. */
export function alignedTable(columns: readonly Column[], rows: readonly (readonly (string | undefined)[])[]): string {
  const cells = rows.map(row => columns.map((_, index) => printable(row[index] ?? '')))
  const names = columns.map(column => printable(column.name))
  const widths = names.map((name, index) => Math.max(widthOf(name), ...cells.map(row => widthOf(row[index] ?? ''))))
  const heading = names.map((name, index) => {
    const room = (widths[index] ?? 0) - widthOf(name)
    return ` ${spaces(Math.floor(room / 2))}${name}${spaces(Math.ceil(room / 2))} `
  })
  const lines = [heading.join('|'), widths.map(width => '-'.repeat(width + 2)).join('+')]
  for (const row of cells) {
    const shown = row.map((cell, index) => {
      const room = spaces((widths[index] ?? 0) - widthOf(cell))
      return columns[index]?.right ? ` ${room}${cell} ` : ` ${cell}${room} `
    })
    lines.push(shown.join('|'))
  }
  const trimmed = lines.map(line => line.trimEnd())
  return `${trimmed.join('\n')}\n(${rows.length} ${rows.length === 1 ? 'row' : 'rows'})\n`
}
