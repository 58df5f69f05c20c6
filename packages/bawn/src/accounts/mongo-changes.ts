import { duplicateKey, type MongoConnection } from './mongo-connection.ts'
import { AccountError } from './store.ts'

/** How many changes Bawn has made to a collection of users, so that every node's cache knows when it is old. */
export interface MongoChanges {
  /** Read from the database within the last half second. Rejects when it cannot be. */
  current(): Promise<number>
  /** One more; known here at once. */
  add(): Promise<void>
}

/** A change is known at every node after this. */
const staleMs = 500

/**
 * A counter in the collection `bawn`, beside the users.
 *
 * @param collection of the users
 * @param now monotonic, in ms
 */
export function createMongoChanges(connection: MongoConnection, collection: string, now: () => number): MongoChanges {
  const _id = `changes of ${collection}`
  let known: { readonly value: Promise<number>; readonly askedAt: number } | undefined

  const read = (): Promise<number> =>
    connection.read(async database => {
      const state = database.collection<{ readonly _id: string; readonly count: number }>('bawn')
      const count: unknown = (await state.findOne({ _id }))?.count ?? 0
      if (typeof count !== 'number') throw new AccountError('accounts.unavailable', 'the counter of changes is damaged')
      return count
    })

  return {
    current() {
      const at = now()
      if (known !== undefined && at - known.askedAt < staleMs) return known.value
      const asked = { value: read(), askedAt: at }
      known = asked
      // A failure is everybody's who waits for it, and nobody's after it.
      asked.value.catch(() => {
        if (known === asked) known = undefined
      })
      return asked.value
    },
    async add() {
      await connection.run(async database => {
        const state = database.collection<{ readonly _id: string; readonly count: number }>('bawn')
        const one = () => state.updateOne({ _id }, { $inc: { count: 1 } }, { upsert: true })
        // Of two nodes that begin to count at once, one does; the other then finds its counter.
        await one().catch(error => (error?.code === duplicateKey ? one() : Promise.reject(error)))
      })
      known = undefined
    },
  }
}
