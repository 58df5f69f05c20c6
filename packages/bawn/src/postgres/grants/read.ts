import type { RawStmt } from 'libpg-query'
import { verbOf } from '../sql/definition.ts'
import { type Struct, unwrap } from '../sql/tree.ts'
import { Collector, truncated } from './collector.ts'
import type { Reading } from './reading.ts'
import { examine } from './statements.ts'

function releaseOf(kind: string, statement: Struct): Reading['releases'] {
  if (kind !== 'DeallocateStmt' && kind !== 'ClosePortalStmt' && kind !== 'DiscardStmt') return undefined
  if (kind === 'DiscardStmt')
    return statement['target'] === 'DISCARD_ALL' ? { kind: 'statement', name: '*' } : undefined
  const name = kind === 'DeallocateStmt' ? statement['name'] : statement['portalname']
  return {
    kind: kind === 'DeallocateStmt' ? 'statement' : 'cursor',
    name: typeof name === 'string' ? truncated(name) : '*',
  }
}

const harmlessTransactions = new Set([
  'TRANS_STMT_BEGIN',
  'TRANS_STMT_START',
  'TRANS_STMT_SAVEPOINT',
  'TRANS_STMT_RELEASE',
])

function unsettles(kind: string, statement: Struct): boolean {
  if (kind === 'TransactionStmt') return !harmlessTransactions.has(String(statement['kind']))
  return /^(?:Drop|Discard|Rename|Alter|Do|Call|Execute)/.test(kind)
}

/** What the parsed statements of one text touch. @throws {RangeError} when they are nested too deeply */
export function readStatements(statements: readonly RawStmt[]): Reading {
  const into = new Collector()
  const verbs = new Set<string>()
  let releases: Reading['releases']
  let takesAway = false
  for (const { stmt } of statements) {
    const unwrapped = unwrap(stmt)
    if (unwrapped === undefined) continue
    const [kind, statement] = unwrapped
    examine(kind, statement, into)
    verbs.add(verbOf(kind))
    takesAway ||= unsettles(kind, statement)
    if (statements.length === 1) releases = releaseOf(kind, statement)
  }
  return {
    kind: 'read',
    verb: [...verbs].slice(0, 8).join('+'),
    single: statements.length === 1,
    references: into.references,
    declarations: into.declarations,
    uses: into.uses,
    releases,
    temporary: into.temporary,
    created: into.created,
    changes: into.changes,
    unsettles: takesAway || into.references.some(({ kind }) => kind === 'restricted'),
  }
}
