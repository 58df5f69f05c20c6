import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { type Due, SessionClock, type TimeLimits } from './session-clock.ts'
import type { Activity } from './state.ts'

const none: TimeLimits = {
  idle: undefined,
  idleInTransaction: undefined,
  lifetime: undefined,
  statement: undefined,
  transaction: undefined,
  silence: undefined,
}
interface Moment {
  readonly activity: Activity
  readonly inTransaction: boolean
  readonly running: object | undefined
}

const idle: Moment = { activity: 'idle', inTransaction: false, running: undefined }
const open: Moment = { activity: 'idle in transaction', inTransaction: true, running: undefined }
const busy = (running: object, inTransaction = false): Moment => ({ activity: 'active', inTransaction, running })

const a = {}
const b = {}

const rows: {
  readonly name: string
  readonly limits: Partial<TimeLimits>
  /** What the session does, and for how many ms. */
  readonly life: readonly (readonly [moment: Moment, ms: number])[]
  readonly due: readonly (readonly [due: Due, at: number])[]
}[] = [
  { name: 'no limit', limits: {}, life: [[idle, 10_000]], due: [] },
  { name: 'idle', limits: { idle: 100 }, life: [[idle, 150]], due: [['idle', 100]] },
  {
    name: 'a statement between begins idleness anew',
    limits: { idle: 100 },
    life: [
      [idle, 90],
      [busy(a), 500],
      [idle, 150],
    ],
    due: [['idle', 690]],
  },
  {
    name: 'idle in a transaction is no idle session',
    limits: { idle: 10, idleInTransaction: 100 },
    life: [
      [busy(a), 5],
      [open, 150],
    ],
    due: [['idle-in-transaction', 105]],
  },
  {
    name: 'each statement has its own time, one behind the other',
    limits: { statement: 1_000 },
    life: [
      [busy(a), 1_200],
      [busy(b), 1_200],
      [idle, 10_000],
    ],
    due: [],
  },
  {
    name: 'a statement that is too long, and then does not end',
    limits: { statement: 1_000 },
    life: [
      [idle, 1_000],
      [busy(a), 20_000],
    ],
    due: [
      ['statement', 2_500],
      ['uncancelled', 12_500],
    ],
  },
  {
    name: 'the lifetime is told once, whatever the session does',
    limits: { lifetime: 1_000 },
    life: [
      [idle, 600],
      [busy(a), 5_000],
    ],
    due: [['lifetime', 1_000]],
  },
  {
    name: 'silence, as long as something is awaited',
    limits: { silence: 1_000 },
    life: [
      [idle, 5_000],
      [busy(a), 2_500],
      [idle, 5_000],
    ],
    due: [
      ['silence', 6_000],
      ['silence', 7_000],
    ],
  },
  {
    name: 'a transaction, over its statements',
    limits: { transaction: 1_000 },
    life: [
      [busy(a), 100],
      [open, 400],
      [busy(b, true), 400],
      [open, 400],
    ],
    due: [['transaction', 1_100]],
  },
]

for (const { name, limits, life, due } of rows) {
  test(name, () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 })
    try {
      const found: (readonly [Due, number])[] = []
      const note = (what: Due): void => {
        found.push([what, Date.now()])
        // Whatever else is reached ends the session.
        if (what !== 'lifetime' && what !== 'statement' && what !== 'silence') clock.stop()
      }
      const clock: SessionClock = new SessionClock({ ...none, ...limits }, note, Date.now)
      for (const [moment, ms] of life) {
        clock.note(moment.activity, moment.inTransaction, moment.running)
        for (let left = ms; left > 0; left -= 5) mock.timers.tick(5)
      }
      clock.stop()
      assert.deepEqual(found, due)
    } finally {
      mock.timers.reset()
    }
  })
}
