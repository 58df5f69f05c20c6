import { status } from '../wire/message.ts'
import { restoreStatement, type SettingChange, type Settings } from './profile.ts'

/** Settings that RESET leads back to what the session began with: these, or all. */
export type Resets = readonly string[] | 'all'

/** Where a session has its connections from. */
export interface SettingsOwner {
  /** Settings that the session began with. */
  readonly begun?: Settings
  /** Connections are to have a setting from the next transaction on. */
  remember?(change: SettingChange): void
}

/** What statements on their way do to settings of a session that has a connection for each transaction only. */
export class SessionSettings {
  #of: SettingsOwner = {}
  /** RESET or DISCARD ALL was sent: what comes behind it has to find what the session began with. */
  leadsBack = false
  /** It may be found on another connection: this one is given back before anything else is sent. */
  startsAnew = false
  /** What was set and will be taken along when its batch has ended well. */
  #moved: SettingChange | undefined
  #reset: Resets | undefined
  #lastRun = { batch: -1, isAlone: false }

  /** The session works on a connection. */
  begin(of: SettingsOwner): void {
    this.#of = of
  }

  /** Takes a setting along to other connections. */
  remember(change: SettingChange): void {
    this.#of.remember?.(change)
  }

  /** A text is sent to be run. @returns tells whether it has stayed the only one of its batch, which is one transaction then */
  run(batch: number): () => boolean {
    if (this.#lastRun.batch === batch) this.#lastRun.isAlone = false
    else this.#lastRun = { batch, isAlone: true }
    const run = this.#lastRun
    return () => run.isAlone
  }

  /** A setting was set outside of any transaction. */
  move(change: SettingChange): void {
    this.#moved = change
  }

  /** RESET was carried out. */
  reset(what: Resets): void {
    this.#reset = what === 'all' || this.#reset === 'all' ? 'all' : [...(this.#reset ?? []), ...what]
  }

  /** The batch has failed: nothing was set, unless a transaction before it was. */
  fail(): void {
    this.#moved = undefined
    this.#reset = undefined
  }

  /**
   * A batch has ended.
   *
   * @param isKept the session goes on with this connection
   * @returns statement that leads back, where the connection has begun with something else
   */
  end(transaction: number, isKept: boolean): { readonly pins: boolean; readonly restore: string | undefined } {
    const moved = this.#moved
    const reset = this.#reset
    this.fail()
    const isOver = transaction === status.idle
    const isMoved = moved !== undefined && isOver && this.#lastRun.isAlone
    if (isMoved) this.remember(moved)
    const pins = moved !== undefined && !isMoved
    if (reset === undefined) return { pins, restore: undefined }
    if (isOver && !isKept && !pins) {
      this.startsAnew = true
      return { pins, restore: undefined }
    }
    const { begun = [] } = this.#of
    const back = begun.filter(([name]) => reset === 'all' || reset.includes(name.toLowerCase()))
    return { pins, restore: back.length === 0 ? undefined : restoreStatement(back) }
  }
}
