import type { FuncCall, Node, VariableSetStmt } from 'libpg-query'
import { Refusal } from './refusal.ts'
import { literalOf } from './settings.ts'
import { everyStruct, namesOf, offsetOf, unwrap } from './tree.ts'

/**
 * What of a session says who it is: nobody in it may change that. It was set when the session began, so that RESET, RESET ALL, DISCARD ALL
 * and the end of a transaction lead back to it, and only what sets another value has to be refused.
 */
export interface IdentityGuard {
  /** In lower case. */
  readonly settings: ReadonlySet<string>
  /** The session has a role of its own, which DISCARD ALL would take from it. */
  readonly role: boolean
  /** RESET leads back to what was set. False: it was set by statements, on a connection that others have too. */
  readonly resettable?: boolean
}

/** Statements by which code comes to be that no statement shows afterwards: it could set whatever it likes, by text that is made at run time. */
const makesCode: Readonly<Record<string, string | undefined>> = {
  DoStmt: 'DO',
  CreateFunctionStmt: 'CREATE FUNCTION and CREATE PROCEDURE',
  DefineStmt: 'CREATE AGGREGATE, OPERATOR, TYPE and the like',
  CreateCastStmt: 'CREATE CAST',
  CreateConversionStmt: 'CREATE CONVERSION',
  CreateTransformStmt: 'CREATE TRANSFORM',
  CreateOpClassStmt: 'CREATE OPERATOR CLASS',
  CreateExtensionStmt: 'CREATE EXTENSION',
  AlterExtensionStmt: 'ALTER EXTENSION',
  CreatePLangStmt: 'CREATE LANGUAGE',
  CreateEventTrigStmt: 'CREATE EVENT TRIGGER',
  CreateFdwStmt: 'CREATE FOREIGN DATA WRAPPER',
  CreateAmStmt: 'CREATE ACCESS METHOD',
  LoadStmt: 'LOAD',
}

/** Functions of PostgreSQL and of what comes with it that run a text which they are given. */
const runsText =
  /^(?:(?:query|cursor)_to_xml.*|(?:table|schema|database)_to_xml.*|ts_stat|dblink.*|crosstab.*|connectby|xpath_table)$/

function guarded(message: string, hint: string, offset?: number): Refusal {
  return new Refusal('postgres.identity_guarded', message, hint, offset)
}

function examineCall(call: FuncCall, guard: IdentityGuard): void {
  const name = namesOf(call.funcname)?.at(-1)
  if (name === undefined) return
  if (name === 'set_config') {
    // A name that is no literal was refused before (settings.ts).
    const setting = literalOf(call.args?.[0])?.toLowerCase() ?? ''
    if (guard.settings.has(setting)) throw keeps(setting, offsetOf(call))
  }
  const runs = runsText.test(name) || (name === 'ts_rewrite' && call.args?.length === 2)
  if (!runs) return
  throw guarded(`${name}() runs a text that is not seen here`, 'Write the query itself', offsetOf(call))
}

function keeps(setting: string, offset?: number): Refusal {
  return guarded(
    `${setting} says who this session is, and the gateway has set it`,
    'Leave it as it is; RESET ALL leaves it too',
    offset,
  )
}

/** @throws {Refusal} `postgres.identity_guarded` when a statement sets another identity, or could do so out of sight */
export function examineIdentity(statement: Node, guard: IdentityGuard): void {
  everyStruct(statement, struct => {
    for (const [kind, what] of Object.entries(makesCode)) {
      if (struct[kind] === undefined || what === undefined) continue
      throw guarded(
        `${what} is not for sessions whose identity the database relies on`,
        'Define it with a login of its own, beside the gateway or by another database entry',
      )
    }
    const set = struct['VariableSetStmt'] ?? struct['setstmt']
    if (typeof set === 'object' && set !== null) {
      const name = (set as VariableSetStmt).name?.toLowerCase()
      if (name !== undefined && guard.settings.has(name)) throw keeps(name)
    }
    const call = struct['FuncCall']
    if (typeof call === 'object' && call !== null) examineCall(call as FuncCall, guard)
    return undefined
  })
  const [kind, outer] = unwrap(statement) ?? []
  if (guard.resettable === false) {
    const discards = kind === 'DiscardStmt' && outer?.['target'] === 'DISCARD_ALL'
    if (discards || (kind === 'VariableSetStmt' && outer?.['kind'] === 'VAR_RESET_ALL')) {
      const what = discards ? 'DISCARD ALL' : 'RESET ALL'
      throw guarded(`${what} would take the identity from the session`, 'RESET the settings that are meant, one by one')
    }
  }
  if (guard.role && kind === 'DiscardStmt' && outer?.['target'] === 'DISCARD_ALL') {
    throw guarded('DISCARD ALL would take its role from the session', 'Say RESET ALL; DISCARD PLANS; DISCARD TEMP')
  }
}
