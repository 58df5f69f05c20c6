import { protocols } from './connections.ts'
import { faults, type Weather } from './ledger.ts'

/** An answer that takes longer is late. */
const lateMs = 1_000

const doors = [...protocols, 'PostgreSQL'] as const
type Door = (typeof doors)[number]

/** Every answer and every failure by what it was, whether right or not: the ledger judges, this only counts. */
export class Answers {
  readonly #weather: Weather
  readonly #counts = new Map<string, Map<Door, number>>()
  readonly #late = { 'nothing was away': 0, 'something was away': 0 }
  #longestMs = 0

  constructor(weather: Weather) {
    this.#weather = weather
  }

  /** @param kind status, SQLSTATE, or how it failed. @param from when it was asked, by `performance.now()` */
  note(door: Door, kind: string, from: number): void {
    const counts = this.#counts.get(kind) ?? new Map<Door, number>()
    this.#counts.set(kind, counts.set(door, (counts.get(door) ?? 0) + 1))
    const now = performance.now()
    if (now - from <= lateMs) return
    const isAway = this.#weather.had(faults, from, now) !== undefined
    this.#late[isAway ? 'something was away' : 'nothing was away']++
    if (!isAway) this.#longestMs = Math.max(this.#longestMs, now - from)
  }

  print(print: (line: string) => void): void {
    const row = (name: string, cells: readonly unknown[]): void =>
      print(name.padEnd(48) + cells.map(cell => String(cell).padStart(15)).join(''))
    row('answer', doors)
    for (const kind of [...this.#counts.keys()].toSorted()) {
      row(
        kind,
        doors.map(door => this.#counts.get(kind)?.get(door) ?? 0),
      )
    }
    const { 'nothing was away': calm, 'something was away': away } = this.#late
    print(
      `late, more than ${lateMs} ms: ${away} while something was away, ${calm} while nothing was (the longest ${Math.round(this.#longestMs)} ms)`,
    )
  }
}
