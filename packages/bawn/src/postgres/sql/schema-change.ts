import type { AlterTableStmt, DropStmt } from 'libpg-query'
import type { Names } from './names.ts'
import { everyStruct, type Struct } from './tree.ts'

/** May the statement change tables, columns, views or rules? DO and CALL may do anything. */
export function changesSchema(kind: string): boolean {
  return /^(?:Create|Alter|Drop|Rename|Index|View|Rule|Define|ImportForeignSchema|Do|Call)/.test(kind)
}

/** Does the statement name, anywhere, a table that is protected, missing or a view over a protected one? */
export function touches(statement: unknown, names: Names): boolean {
  let found = false
  everyStruct(statement, struct => {
    const name = struct['relname'] ?? struct['sval']
    if (typeof name === 'string' && names.isKnown(name)) found = true
    return !found
  })
  return found
}

/** They make, or change, one thing, and nothing that they do not name. */
const single = new Set(
  `CreateStmt CreateTableAsStmt ViewStmt IndexStmt CreateSeqStmt AlterSeqStmt CreateFunctionStmt AlterFunctionStmt CreateTrigStmt
  CreateDomainStmt CreateEnumStmt AlterEnumStmt CreateStatsStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt`.split(
    /\s+/,
  ),
)

const droppable = new Set(['OBJECT_TABLE', 'OBJECT_INDEX', 'OBJECT_VIEW', 'OBJECT_MATVIEW', 'OBJECT_SEQUENCE'])

/** What is done to a table beneath which, above which and over which nothing is protected. */
const alterations = new Set(
  `AT_AddColumn AT_DropColumn AT_ColumnDefault AT_SetNotNull AT_DropNotNull AT_AlterColumnType AT_AddConstraint AT_DropConstraint
  AT_ValidateConstraint`.split(/\s+/),
)

function altersApart({ cmds = [] }: AlterTableStmt): boolean {
  return cmds.every(node => {
    const { subtype, behavior } = 'AlterTableCmd' in node ? node.AlterTableCmd : {}
    return subtype !== undefined && alterations.has(subtype) && behavior !== 'DROP_CASCADE'
  })
}

/**
 * Does a statement that changes the schema leave alone what is protected, every view over it, and every name of it? Errs on the side of
 * no. A new name is among those that are looked for, or is nobody's: another table of the same name as a protected one is told by its name.
 * Event triggers, which may do anything beside, are for the caller to know.
 */
export function changesApart(kind: string, statement: Struct, names: Names): boolean {
  switch (kind) {
    case 'DropStmt': {
      const { removeType = '', behavior } = statement as DropStmt
      return droppable.has(removeType) && behavior !== 'DROP_CASCADE' && !touches(statement, names)
    }
    case 'AlterTableStmt':
      return altersApart(statement as AlterTableStmt) && !touches(statement, names)
    default:
      return single.has(kind) && !touches(statement, names)
  }
}
