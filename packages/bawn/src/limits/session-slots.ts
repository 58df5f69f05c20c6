/** How many sessions a database may have, and how long others wait for a place. */
export interface DatabasePlaces {
  /** At once; `undefined`: any number. */
  readonly sessions: number | undefined
  readonly queueLength: number
  readonly queueTimeoutMs: number
  /** Of this thread alone: connections of pools are shared out among threads. */
  readonly isOfThread?: boolean
}

/** How many of them one identity may have. */
export interface Allowance {
  readonly perIdentity: number | undefined
  /** Those whose roles the same entry of the configuration names, together. */
  readonly group: { readonly name: string; readonly sessions: number } | undefined
}

export type PlaceRefusal =
  /** It has as many as it may have. */
  | 'identity'
  /** Those of its role have. */
  | 'role'
  | 'queue-full'
  | 'timed-out'

export type Place =
  /** `leave` gives it back; the second call does nothing. */
  { readonly kind: 'taken'; readonly leave: () => void } | { readonly kind: 'refused'; readonly reason: PlaceRefusal }

export type PlaceAnswer =
  | Place
  /** `withdraw` leaves the queue: `place` never resolves then. */
  | { readonly kind: 'waiting'; readonly place: Promise<Place>; readonly withdraw: () => void }

/** The room of a pool's connections. Not a name that a database can have. */
export const poolRoom = (database: string): string => `pool of ${database}`

/** Who gives places: of this thread, or asked for of another one. */
export type Slots = Pick<SessionSlots, 'ask' | 'resize'>

interface Room {
  sessions: number | undefined
  taken: number
  /** In the order in which they came. */
  readonly queue: Set<() => void>
  /** Sessions and those who wait, by identity and by group. */
  readonly counts: Map<string, number>
}

/**
 * Places for sessions, by database, over all listeners and reloads. Who waits is let in in the order of coming. Limits of an identity and of
 * a role are not waited for: who waits counts as having a session, so that nobody can fill the queue.
 */
export class SessionSlots {
  readonly #rooms = new Map<string, Room>()

  /** @param who one identity, whatever its sessions */
  ask(database: string, who: string, places: DatabasePlaces, { perIdentity, group }: Allowance): PlaceAnswer {
    const room = this.#rooms.get(database) ?? { sessions: undefined, taken: 0, queue: new Set(), counts: new Map() }
    this.#rooms.set(database, room)
    this.#resize(room, places.sessions)
    const mine = `identity ${who}`
    const ours = group && `group ${group.name}`
    const countOf = (key: string): number => room.counts.get(key) ?? 0
    const refused = (reason: PlaceRefusal): Place => {
      this.#tidy(database, room)
      return { kind: 'refused', reason }
    }
    if (perIdentity !== undefined && countOf(mine) >= perIdentity) return refused('identity')
    if (group !== undefined && ours !== undefined && countOf(ours) >= group.sessions) return refused('role')
    const isFull = room.queue.size > 0 || (room.sessions !== undefined && room.taken >= room.sessions)
    if (isFull && room.queue.size >= places.queueLength) return refused('queue-full')

    const keys = ours === undefined ? [mine] : [mine, ours]
    for (const key of keys) room.counts.set(key, countOf(key) + 1)
    const forget = (): void => {
      for (const key of keys) {
        const left = countOf(key) - 1
        if (left > 0) room.counts.set(key, left)
        else room.counts.delete(key)
      }
    }
    const take = (): Place => {
      room.taken += 1
      let left = false
      const leave = (): void => {
        if (left) return
        left = true
        room.taken -= 1
        forget()
        this.#letIn(room)
        this.#tidy(database, room)
      }
      return { kind: 'taken', leave }
    }
    if (!isFull) return take()

    const { promise, resolve } = Promise.withResolvers<Place>()
    const enter = (): void => {
      clearTimeout(timer)
      resolve(take())
    }
    const withdraw = (): void => {
      clearTimeout(timer)
      if (!room.queue.delete(enter)) return
      forget()
      this.#tidy(database, room)
    }
    const timer = setTimeout(() => {
      withdraw()
      resolve({ kind: 'refused', reason: 'timed-out' })
    }, places.queueTimeoutMs)
    room.queue.add(enter)
    return { kind: 'waiting', place: promise, withdraw }
  }

  /** Another configuration is in force: who waits may have a place now. */
  resize(database: string, sessions: number | undefined): void {
    const room = this.#rooms.get(database)
    if (room !== undefined) this.#resize(room, sessions)
  }

  #resize(room: Room, sessions: number | undefined): void {
    room.sessions = sessions
    this.#letIn(room)
  }

  #letIn(room: Room): void {
    for (const enter of room.queue) {
      if (room.sessions !== undefined && room.taken >= room.sessions) return
      room.queue.delete(enter)
      enter()
    }
  }

  #tidy(database: string, room: Room): void {
    if (room.taken === 0 && room.queue.size === 0) this.#rooms.delete(database)
  }
}
