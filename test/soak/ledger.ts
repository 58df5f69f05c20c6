/** What a run does to the world. `reload` and `rotation` excuse nothing: nobody may notice them. */
export const faults = ['upstream', 'issuer', 'redis', 'postgres', 'second gateway', 'reload', 'rotation'] as const
export type Fault = (typeof faults)[number]

export type Outcome =
  | { readonly kind: 'right' }
  /** Not decided, or not answered. @property needs it may be, where one of these was away */
  | { readonly kind: 'away'; readonly what: string; readonly needs: readonly Fault[] }
  | { readonly kind: 'wrong'; readonly what: string }

interface Spell {
  readonly fault: Fault
  readonly from: number
  until: number
}

/** What was away, and when. Times by `performance.now()`. */
export class Weather {
  readonly #spells: Spell[] = []

  /** @returns ends it, with that much time more to recover */
  begin(fault: Fault): (recoveryMs: number) => void {
    const spell: Spell = { fault, from: performance.now(), until: Number.POSITIVE_INFINITY }
    this.#spells.push(spell)
    return recoveryMs => {
      spell.until = performance.now() + recoveryMs
    }
  }

  /** Which of these was away for some of this time. */
  had(these: readonly Fault[], from: number, until: number): Fault | undefined {
    return this.#spells.find(spell => these.includes(spell.fault) && spell.from <= until && spell.until >= from)?.fault
  }
}

interface Count {
  right: number
  away: number
  wrong: number
}

/** Every outcome, by who has asked. */
export class Ledger {
  readonly #weather: Weather
  readonly #counts = new Map<string, Count>()
  readonly #byFault = new Map<Fault, { times: number; away: number }>()
  readonly #wrongs: string[] = []
  #total = 0

  constructor(weather: Weather) {
    this.#weather = weather
  }

  /** What is expected to ask: who never got a right answer has shown nothing. */
  expect(...callers: readonly string[]): void {
    for (const caller of callers) this.#countOf(caller)
  }

  /** @param from when it was begun, by `performance.now()` */
  note(caller: string, outcome: Outcome, from: number): void {
    const count = this.#countOf(caller)
    this.#total++
    if (outcome.kind === 'right') {
      count.right++
      return
    }
    const excuse = outcome.kind === 'away' ? this.#weather.had(outcome.needs, from, performance.now()) : undefined
    if (excuse !== undefined) {
      count.away++
      this.#faultOf(excuse).away++
      return
    }
    count.wrong++
    const second = (performance.now() / 1_000).toFixed(1)
    if (this.#wrongs.length < 40) this.#wrongs.push(`${caller}, at ${second} s: ${outcome.what}`)
  }

  injected(fault: Fault): void {
    this.#faultOf(fault).times++
  }

  /** Prints all of it. @returns whether nothing is wrong, and everything was seen that should be */
  close(print: (line: string) => void): boolean {
    const cell = (value: unknown): string => String(value).padStart(10)
    print(`${'caller'.padEnd(48)}${['right', 'away', 'wrong'].map(cell).join('')}`)
    const sum: Count = { right: 0, away: 0, wrong: 0 }
    for (const [caller, count] of this.#counts) {
      const { right, away, wrong } = count
      sum.right += right
      sum.away += away
      sum.wrong += wrong
      print(caller.padEnd(48) + [right, away, wrong].map(cell).join(''))
    }
    const { right, away, wrong } = sum
    print(`${this.#total} judged: ${right} right, ${away} not decided while something was away, ${wrong} wrong`)
    for (const fault of faults) {
      const { times, away: undecided } = this.#faultOf(fault)
      print(`${fault}: ${times} times, ${undecided} not decided`)
    }
    for (const line of this.#wrongs) print(`WRONG ${line}`)
    const unseen = [...this.#counts].filter(([, count]) => count.right === 0).map(([caller]) => caller)
    if (unseen.length > 0) print(`never answered rightly: ${unseen.join(', ')}`)
    const unfelt = faults.filter(fault => {
      const { times, away: undecided } = this.#faultOf(fault)
      return times === 0 || (undecided === 0 && fault !== 'reload' && fault !== 'rotation')
    })
    if (unfelt.length > 0) print(`not injected, or nobody noticed: ${unfelt.join(', ')}`)
    return wrong === 0 && unseen.length === 0 && unfelt.length === 0
  }

  #countOf(caller: string): Count {
    const count = this.#counts.get(caller) ?? { right: 0, away: 0, wrong: 0 }
    this.#counts.set(caller, count)
    return count
  }

  #faultOf(fault: Fault): { times: number; away: number } {
    const of = this.#byFault.get(fault) ?? { times: 0, away: 0 }
    this.#byFault.set(fault, of)
    return of
  }
}
