// What `bawn explain` says: what was looked at, in order, and what came of it.

/** One thing that was looked at, in order. */
export interface ExplainedStep {
  readonly about:
    | 'path'
    | 'route'
    | 'database'
    | 'host rule'
    | 'mechanism'
    | 'identity'
    | 'policy'
    | 'grants'
    | 'hint'
    | 'answer'
    | 'field'
    | 'statement'
    | 'firewall'
  readonly text: string
}

export interface Explanation {
  /** `depends`: the identity is not known, and what comes after it cannot be said. */
  readonly verdict: 'permitted' | 'refused' | 'depends'
  /** The rule or the lack of one that decided. */
  readonly by: string
  readonly steps: readonly ExplainedStep[]
}

/** Collects what was looked at. */
export class Steps {
  readonly #steps: ExplainedStep[] = []

  add(about: ExplainedStep['about'], ...texts: readonly string[]): void {
    for (const text of texts) this.#steps.push({ about, text })
  }

  end(verdict: Explanation['verdict'], by: string): Explanation {
    return { verdict, by, steps: this.#steps }
  }
}
