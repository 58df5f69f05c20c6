import type { Activity } from './state.ts'

/** What a session does, and since when. Told at each turn of the relay: costs nothing where nothing changed. */
export class SessionClock {
  readonly #now: () => number
  #activity: Activity = 'idle'
  #since: number

  /** @param now ms since 1970 */
  constructor(now: () => number) {
    this.#now = now
    this.#since = now()
  }

  get activity(): Activity {
    return this.#activity
  }

  /** When the activity began, in ms since 1970. */
  get since(): number {
    return this.#since
  }

  note(activity: Activity): void {
    if (activity === this.#activity) return
    this.#activity = activity
    this.#since = this.#now()
  }
}
