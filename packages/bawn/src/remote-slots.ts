import {
  type Allowance,
  type DatabasePlaces,
  type Place,
  type PlaceAnswer,
  SessionSlots,
  type Slots,
} from './limits/session-slots.ts'

// Places of sessions are counted in the first thread, for all workers: the queue of a database is one.

export interface SlotQuestion {
  /** Of the worker that asks. */
  readonly id: number
  readonly database: string
  readonly who: string
  readonly places: DatabasePlaces
  readonly allowance: Allowance
}

/** A place, as it can be posted. */
export type PostedPlace =
  | { readonly kind: 'taken' }
  /** Whoever waited has left meanwhile. */
  | { readonly kind: 'left' }
  | Extract<Place, { readonly kind: 'refused' }>

/** What a worker asks. */
export interface SlotAnswers {
  slotAsk(question: SlotQuestion): Promise<PostedPlace>
  /** Of a place that it has, or waits for. */
  slotLeave(id: number): void
  slotResize(size: { readonly database: string; readonly sessions: number | undefined }): void
}

/** Asks for places from a worker. Whoever asks waits, if only for the answer; not for places that are the worker's own. */
export function remoteSlots(first: SlotAnswers): Slots {
  const own = new SessionSlots()
  let nextId = 0
  return {
    ask(database, who, wanted, allowance): PlaceAnswer {
      if (wanted.isOfThread === true) return own.ask(database, who, wanted, allowance)
      const { sessions, queueLength, queueTimeoutMs } = wanted
      const { perIdentity, group } = allowance
      nextId += 1
      const id = nextId
      let isSettled = false
      let isOpen = true
      const leave = (): void => {
        if (isOpen) first.slotLeave(id)
        isOpen = false
      }
      const places = { sessions, queueLength, queueTimeoutMs }
      const asked = first.slotAsk({ id, database, who, places, allowance: { perIdentity, group } })
      const place = asked.then((answer): Place | Promise<never> => {
        isSettled = true
        if (answer.kind === 'left' || !isOpen) return new Promise<never>(() => {})
        return answer.kind === 'taken' ? { kind: 'taken', leave } : answer
      })
      const withdraw = (): void => {
        if (!isSettled) leave()
      }
      return { kind: 'waiting', place, withdraw }
    },
    resize(database, sessions) {
      own.resize(database, sessions)
      first.slotResize({ database, sessions })
    },
  }
}

/** The places of one worker, in the first thread. `ended`: it has ended, and has none. */
export function slotsOfWorker(slots: SessionSlots): SlotAnswers & { ended(): void } {
  const leaving = new Map<number, () => void>()
  const leave = (id: number): void => {
    leaving.get(id)?.()
    leaving.delete(id)
  }
  const settled = (id: number, place: Place): PostedPlace => {
    if (place.kind === 'refused') {
      leaving.delete(id)
      return place
    }
    leaving.set(id, place.leave)
    return { kind: 'taken' }
  }
  return {
    async slotAsk({ id, database, who, places, allowance }) {
      const answer = slots.ask(database, who, places, allowance)
      if (answer.kind !== 'waiting') return settled(id, answer)
      const { promise: left, resolve } = Promise.withResolvers<PostedPlace>()
      let hasLeft = false
      leaving.set(id, () => {
        hasLeft = true
        answer.withdraw()
        // Or the question would stay open in the worker for ever.
        resolve({ kind: 'left' })
      })
      const given = answer.place.then((place): PostedPlace => {
        if (!hasLeft) return settled(id, place)
        // It was given at the very moment, perhaps by another one of the same worker that ends.
        if (place.kind === 'taken') place.leave()
        return { kind: 'left' }
      })
      return await Promise.race([given, left])
    },
    slotLeave: leave,
    slotResize: ({ database, sessions }) => slots.resize(database, sessions),
    ended() {
      for (const id of [...leaving.keys()]) leave(id)
    },
  }
}
