import { standingOf, standingQuestion, type WantedHost } from '../hosts.ts'
import { marksQuestion } from '../session-marks.ts'
import type { Cells } from './questions.ts'

/** In this order. */
export type Settings = readonly (readonly [name: string, value: string])[]

/** What a session has of its own on a connection that others had before it. */
export interface Profile {
  /** Sessions with equal ones are the same to the database. */
  readonly id: string
  /** Which connections will do: what was said when they were opened cannot be said again. */
  readonly key: string
  /** Whose: what one identity leaves unseen, another one must not find, even where the database cannot tell them apart. */
  readonly who: string
  readonly target: WantedHost
  /** What the server has to know who is asking by; read back before anybody works there. */
  readonly marks: Settings
  /** Others that are put in place. */
  readonly settings: Settings
}

/** Of what a session is to find. */
export function profileId(who: string, target: WantedHost, settings: Settings, marks: Settings): string {
  return JSON.stringify([who, target, settings, marks])
}

/** A session changed a setting, for good: to a value, or `undefined`, to what it began with. `none`: all of them. */
export type SettingChange = readonly [name: string, value: string | undefined] | 'none'

/** @param begun what the session began with */
export function changedProfile(begun: Profile, now: Profile, change: SettingChange): Profile {
  if (change === 'none') return begun
  const [name, value] = change
  const before = begun.settings.filter(([key]) => key.toLowerCase() === name)
  const own = value === undefined ? before : [[name, value] as const]
  const settings = [...now.settings.filter(([key]) => key.toLowerCase() !== name), ...own]
  return { ...now, settings, id: profileId(now.who, now.target, settings, now.marks) }
}

/** Takes everything off a connection that a session can have left there, but for what makes it unfit (`spoils`). */
export const resetStatement = 'DISCARD ALL'

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Sets for the session what RESET has led back to what the connection began with; what was taken back again stays. */
export function restoreStatement(settings: Settings): string {
  const wanted = settings.map(([name, value]) => `(${quoted(name.toLowerCase())}, ${quoted(value)})`).join(', ')
  return `SELECT pg_catalog.set_config(s.name, w.value, false) FROM (VALUES ${wanted}) AS w (name, value)
    JOIN pg_catalog.pg_settings AS s ON pg_catalog.lower(s.name) = w.name WHERE s.source <> 'session'`
}

/** Statements that put a profile in place, and then ask for what has to be certain. @param asksStanding of several hosts: is this still the one? */
export function profileStatements({ marks, settings }: Profile, asksStanding: boolean): readonly string[] {
  // The role last: with it the right to set the others could be gone.
  const all = [...settings, ...marks.filter(([name]) => name !== 'role'), ...marks.filter(([name]) => name === 'role')]
  const calls = all.map(([name, value]) => `pg_catalog.set_config(${quoted(name)}, ${quoted(value)}, false)`)
  return [
    // Also where there is nothing to set: it tells that the connection is alive.
    calls.length === 0 ? 'SELECT 1' : `SELECT ${calls.join(', ')}`,
    ...(marks.length === 0 ? [] : [marksQuestion(marks.map(([name]) => name))]),
    ...(asksStanding ? [standingQuestion] : []),
  ]
}

/** Whether the answers to `profileStatements` say that everything is in place. */
export function isInPlace({ marks, target }: Profile, asksStanding: boolean, answers: readonly Cells[]): boolean {
  const found = marks.length === 0 ? [] : answers[1]
  if (found === undefined || !marks.every(([, value], index) => found[index] === value)) return false
  if (!asksStanding) return true
  const standing = standingOf(answers.at(-1) ?? [])
  return target === 'replica' || standing !== 'standby'
}
