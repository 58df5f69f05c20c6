import type { FuncCall, Node, UpdateStmt, VariableSetStmt, ViewStmt } from 'libpg-query'
import { Refusal } from './refusal.ts'
import { everyStruct, namesOf, offsetOf } from './tree.ts'

/**
 * Settings that change how the server reads what we send it: with another string syntax or encoding the gateway and the server
 * would see different statements.
 */
const guarded: ReadonlyMap<string, RegExp> = new Map([
  ['client_encoding', /^(?:utf-?8|unicode)$/i],
  ['standard_conforming_strings', /^(?:on|true|yes|1)$/i],
])

/** Whether the server still reads what we send as we do: a setting and its value, as ParameterStatus tells them. */
export function isReadAlike(setting: string, value: string): boolean {
  return guarded.get(setting)?.test(value) ?? true
}

function refusal(name: string, offset: number | undefined): Refusal {
  const allowed = name === 'client_encoding' ? 'UTF8' : 'on'
  return new Refusal(
    'postgres.setting_refused',
    `${name} must stay ${allowed}: values could not be recognised otherwise`,
    `Leave ${name} as it is; the gateway has set it to ${allowed}`,
    offset,
  )
}

/** The text of a constant, casts taken off; `undefined` for anything else. */
export function literalOf(node: Node | undefined): string | undefined {
  let inner = node
  while (inner !== undefined && 'TypeCast' in inner) inner = inner.TypeCast.arg
  if (inner === undefined || !('A_Const' in inner)) return undefined
  const constant = inner.A_Const
  if (constant.ival !== undefined) return String(constant.ival.ival ?? 0)
  if (constant.boolval !== undefined) return constant.boolval.boolval === true ? 'on' : 'off'
  return constant.sval === undefined ? undefined : (constant.sval.sval ?? '')
}

function variable(statement: VariableSetStmt): void {
  const name = (statement.name ?? '').toLowerCase()
  const allowed = guarded.get(name)
  if (allowed === undefined) return
  const isValue = statement.kind === 'VAR_SET_VALUE'
  if (!isValue && statement.kind !== 'VAR_SET_CURRENT') return
  const value = literalOf(statement.args?.[0])
  if (!isValue || value === undefined || !allowed.test(value)) throw refusal(name, undefined)
}

function setConfig(call: FuncCall): void {
  if (namesOf(call.funcname)?.at(-1) !== 'set_config') return
  const name = literalOf(call.args?.[0])?.toLowerCase()
  if (name === undefined) {
    throw new Refusal(
      'postgres.setting_refused',
      'set_config() with a setting whose name is not a literal',
      "Write the setting's name as a literal: set_config('app.user', $1, true)",
      offsetOf(call),
    )
  }
  const allowed = guarded.get(name)
  const value = literalOf(call.args?.[1])
  if (allowed !== undefined && (value === undefined || !allowed.test(value))) throw refusal(name, offsetOf(call))
}

/** @throws {Refusal} `postgres.setting_refused` when any part of a statement changes one of the guarded settings */
export function examineSettings(statement: unknown): void {
  everyStruct(statement, struct => {
    const set = struct['VariableSetStmt'] ?? struct['setstmt']
    if (typeof set === 'object' && set !== null) variable(set as VariableSetStmt)
    const call = struct['FuncCall']
    if (typeof call === 'object' && call !== null) setConfig(call as FuncCall)
    const update = struct['UpdateStmt']
    if (typeof update === 'object' && update !== null && (update as UpdateStmt).relation?.relname === 'pg_settings') {
      throw new Refusal(
        'postgres.setting_refused',
        'UPDATE of pg_settings may change settings that must stay as they are',
        'Use SET',
        offsetOf((update as UpdateStmt).relation ?? {}),
      )
    }
    const view = struct['ViewStmt']
    if (typeof view === 'object' && view !== null) refuseViewOfSettings(view as ViewStmt)
    return undefined
  })
}

/** An UPDATE of such a view is one of pg_settings, under a name of the client's choice. */
function refuseViewOfSettings({ query }: ViewStmt): void {
  everyStruct(query, struct => {
    if (struct['relname'] !== 'pg_settings') return undefined
    throw new Refusal(
      'postgres.setting_refused',
      'a view of pg_settings may change settings that must stay as they are',
      'Read pg_settings itself, or copy it: CREATE TABLE AS',
      offsetOf(struct),
    )
  })
}
