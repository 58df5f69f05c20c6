/** The value of `'…'`, quotes doubled inside; `undefined` for every other form of string, and for one that goes on in the next line. */
export function passwordOf(literal: string): string | undefined {
  return /^'(?:[^']|'')*'$/.test(literal) ? literal.slice(1, -1).replaceAll("''", "'") : undefined
}

/** What `\password` of psql and some drivers send: a verifier for PostgreSQL's own accounts. Kept as a password, it would be one. */
export function looksHashed(password: string): boolean {
  return /^(?:SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]+\$|md5[0-9a-f]{32}$)/.test(password)
}
