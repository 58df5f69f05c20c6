/** Keys and list indexes from the top of the file. */
export type ConfigPath = readonly (string | number)[]

/** Something wrong (or unsafe) at one place of the configuration file. Never holds a literal secret: the excerpt hides it. */
export interface Problem {
  readonly level: 'error' | 'warning'
  /** As the operator named it. */
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1, in characters. */
  readonly column: number
  /** Characters that the caret underlines; at least 1. */
  readonly length: number
  /** `routes.0.upstream`; empty for the whole file. */
  readonly path: string
  readonly message: string
  /** What would fit: the nearest known name, or how to write it. */
  readonly suggestion: string | undefined
  /** The line of the file with literal secrets replaced. */
  readonly excerpt: string
}

/** How many problems are printed at once. */
export const maxShownProblems = 20

/** A value behind a key that names a secret and that is no reference: somebody wrote the secret itself. */
const literalSecret =
  /((?:password|passwd|secret|master|token|passphrase|credential|api_?key)(?:[A-Za-z0-9-]|_(?!file))*["']?\s*:\s*)(?!\s|env:|file:|[{[|>])(?:"[^"]*"?|'[^']*'?|[^,}\s#][^,}\s]*(?: +[^,}\s#][^,}\s]*)*)/gi

/** User and password in a URL. */
const userInfo = /(:\/\/)[^\s/@"']+@/g

const startsWithKey = /^\s*(?:- +)*["']?[A-Za-z_][A-Za-z0-9_-]*["']?\s*:(?:\s|$)/
const secretKey =
  /(?:password|passwd|secret|master|token|passphrase|credential|api_?key)(?:[A-Za-z0-9-]|_(?!file))*["']?\s*:(?:\s|$)/i

/**
 * Whether a line may be the rest of a secret whose key stands on a line above it.
 *
 * @param before the lines above, the nearest first
 */
export function continuesSecret(line: string, before: Iterable<string>): boolean {
  if (startsWithKey.test(line)) return false
  for (const above of before) if (startsWithKey.test(above)) return secretKey.test(above)
  return false
}

/** A line fit for a terminal or a log: literal secrets and control characters replaced, long lines cut. */
export function excerptOf(line: string): string {
  const hidden = line.replace(literalSecret, '$1********').replace(userInfo, '$1********@')
  return withoutControls(hidden).slice(0, 400)
}

/** Tabs and line feeds stay. */
function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal would obey them
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd')
}

/** Errors and warnings in order of the file. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  return [...problems].sort(
    (a, b) => a.line - b.line || a.column - b.column || a.message.localeCompare(b.message, 'en'),
  )
}

/** One problem as text of two to four lines: place and words, the line with a caret, what would fit. */
export function renderProblem(problem: Problem): string {
  const place = `${problem.file}:${problem.line}:${problem.column}`
  const lines = [`${place}: ${problem.level}: ${problem.message}`]
  if (problem.excerpt.trim() !== '') {
    const number = String(problem.line).padStart(5)
    // Tabs are kept so that the caret stands under its character whatever their width.
    const lead = problem.excerpt.slice(0, problem.column - 1).replace(/[^\t]/g, ' ')
    const room = Math.max(1, Math.min(problem.length, problem.excerpt.length - problem.column + 1))
    lines.push(`${number} | ${problem.excerpt}`, `      | ${lead}${'^'.repeat(room)}`)
  }
  if (problem.suggestion !== undefined) lines.push(`        ${problem.suggestion}`)
  // Messages name keys and values of the file, and "\e[2J" is a lawful one.
  return withoutControls(lines.join('\n'))
}

/** The first `maxShownProblems`, and how many there are. */
export function renderProblems(problems: readonly Problem[]): string {
  const shown = problems.slice(0, maxShownProblems).map(renderProblem)
  const hidden = problems.length - shown.length
  if (hidden > 0) shown.push(`… and ${hidden} more`)
  return shown.join('\n')
}
