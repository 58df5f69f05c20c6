import { randomBytes } from 'node:crypto'
import type { Collection, Db } from 'mongodb'
import { createAccountCache } from './account-cache.ts'
import { requireAccountName, roleColumn, verifierColumns } from './account-row.ts'
import { createHashThread } from './hash-thread.ts'
import { createMongoChanges } from './mongo-changes.ts'
import { connectMongo, duplicateKey, type MongoTarget } from './mongo-connection.ts'
import { documentOf, documentShape, nameOf, parseDocument, projectionOf, writableRoles } from './mongo-document.ts'
import type { StoreOptionsOf } from './option.ts'
import { type Account, AccountError, isAccountName, type StoredAccount, type WritableAccountStore } from './store.ts'
import { deriveBcryptVerifier, deriveVerifiers, formatVerifier, type Verifiers, whyNoPassword } from './verifier.ts'

export interface MongoAccountsOptions {
  readonly name: string
  readonly target: MongoTarget
  readonly options: StoreOptionsOf<'mongo'>
  /** Of `first_user`; `undefined`: none is made. */
  readonly firstPassword: string | undefined
  /** Told what an operator has to know: that the first user was made. */
  readonly notice: (message: string) => void
  /** Monotonic, in ms: `performance.now`. */
  readonly now: () => number
}

type Users = Collection<Record<string, unknown>>

/**
 * Accounts in a collection of MongoDB, as RESTHeart keeps them. Every look-up asks the primary, unless a cache is configured. A change
 * is acknowledged when a majority has it on the disk. A database that is away is "cannot decide" until it is back.
 *
 * Names go into a query as text under `$eq` or `$gt`, never as an object: nothing that a caller writes is an operator.
 *
 * @throws {AccountError} `accounts.bad_url`, `accounts.invalid` for a first password that is too short
 */
export async function openMongoAccounts(opening: MongoAccountsOptions): Promise<WritableAccountStore> {
  const { name, options } = opening
  const shape = documentShape(options)
  const projection = projectionOf(shape)
  const id = options.property_id
  const { first_user: first } = options
  const fault = opening.firstPassword === undefined ? undefined : whyNoPassword(opening.firstPassword)
  if (fault !== undefined) throw new AccountError('accounts.invalid', `first_user of account store ${name}: ${fault}`)
  const connection = await connectMongo(name, opening.target)
  const thread = createHashThread()
  const usersOf = (database: Db): Users => database.collection(options.collection)
  const changes = options.cache && createMongoChanges(connection, options.collection, opening.now)
  const cache =
    options.cache &&
    createAccountCache({
      size: options.cache.size,
      ttlMs: options.cache.ttl,
      expire: options.cache.expire,
      now: opening.now,
    })

  const derive = async (password: string): Promise<Verifiers> => {
    if (options.hash === 'argon2id') return deriveVerifiers(password)
    return { scram: undefined, password: await deriveBcryptVerifier(password, options.bcrypt_complexity, thread) }
  }
  /** What the collection keeps of verifiers. */
  const columnsOf = (verifiers: Partial<Verifiers>): [scram: string | null, password: string | null] => {
    const [scram, password] = verifierColumns(verifiers)
    const isOurs = scram !== null || (verifiers.password !== undefined && verifiers.password.kind !== 'bcrypt')
    if (options.hash === 'bcrypt' && isOurs) {
      throw new AccountError('accounts.invalid', `account store ${name} keeps bcrypt hashes only (hash: bcrypt)`)
    }
    return [scram, password]
  }

  const load = async (user: string): Promise<StoredAccount | undefined> => {
    const found = await connection.read(database =>
      usersOf(database)
        .find({ [id]: { $eq: user } }, { projection, limit: mostAlike })
        .toArray(),
    )
    // The database also finds a name in a list of names, and under a collation names that are others.
    const documents = found.filter(document => nameOf(shape, document) === user)
    if (documents.length > 1 || found.length === mostAlike) {
      throw new AccountError('accounts.unavailable', `account store ${name} has several documents of one name`)
    }
    return documents.length === 0 ? undefined : parseDocument(name, shape, documents[0])
  }

  const makeFirst = async (): Promise<void> => {
    if (first === undefined || opening.firstPassword === undefined) return
    const any = await connection.read(database => usersOf(database).findOne({}, { projection: { _id: 1 } }))
    if (any !== null) return
    const verifiers = await derive(opening.firstPassword)
    try {
      await insert({ name: first.name, roles: first.roles, ...verifiers, locked: false })
    } catch (error) {
      // Another node was faster.
      if (error instanceof AccountError && error.code === 'accounts.exists') return
      throw error
    }
    const roles = first.roles.join(', ')
    opening.notice(
      `account store ${name}: collection ${options.collection} was empty, so user ${first.name} was made, with roles ${roles}`,
    )
  }
  let prepared: Promise<void> | undefined
  const prepare = (): Promise<void> => {
    prepared ??= makeFirst().catch(error => {
      prepared = undefined
      throw error
    })
    return prepared
  }

  /** What was changed is read anew here at once, and at every node that has a cache as soon as it looks at the counter. */
  const changed = async (user: string): Promise<void> => {
    cache?.delete(user)
    await changes?.add()
    cache?.delete(user)
  }
  const update = async (user: string, change: Readonly<Record<string, unknown>>): Promise<void> => {
    await prepare()
    const { matchedCount } = await connection.run(database =>
      usersOf(database).updateOne({ [id]: { $eq: searchName(user) } }, change),
    )
    if (matchedCount === 0)
      throw new AccountError('accounts.not_found', `account store ${name} has no such account: ${JSON.stringify(user)}`)
    await changed(user)
  }
  const insert = async (account: Account): Promise<void> => {
    requireAccountName(account.name)
    const [scram, password] = columnsOf(account)
    const roles = roleColumn(account.roles)
    const taken = new AccountError('accounts.exists', `the account ${JSON.stringify(account.name)} exists`)
    const document = documentOf([
      // Unique whatever indexes there are; of documents that others make, only a unique index keeps a name apart.
      ['_id', account.name],
      ...(id === '_id' ? [] : ([[id, account.name]] as const)),
      ...(password === null ? [] : ([[options.property_password, password]] as const)),
      ...(scram === null ? [] : ([[options.property_scram, scram]] as const)),
      [writableRoles(name, shape), roles],
      ...(account.locked ? ([[options.property_locked, true]] as const) : []),
    ])
    if (id !== '_id' && (await load(account.name)) !== undefined) throw taken
    await connection.run(async database => {
      try {
        await usersOf(database).insertOne(document)
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === duplicateKey) throw taken
        throw error
      }
    })
    await changed(account.name)
  }

  const store: WritableAccountStore = {
    name,
    derive,
    async find(stated) {
      await prepare()
      const user = searchName(stated)
      if (cache === undefined || changes === undefined) return load(user)
      const now = await changes.current()
      const kept = cache.get(user, now)
      if (kept !== undefined) return kept.account
      const account = await load(user)
      cache.set(user, account, now)
      return account
    },
    async decoy(user) {
      // The next in the order of names that has a password, as chance as the name itself.
      const $or = [options.property_password, options.property_scram].map(property => ({ [property]: { $ne: null } }))
      const next = (after: string) =>
        connection.read(database =>
          usersOf(database)
            .find({ [id]: { $gt: after }, $or }, { projection, limit: 1, sort: { [id]: 1 } })
            .toArray(),
        )
      const [document] = await next(searchName(user))
      const [other] = document === undefined ? await next('') : [document]
      if (other === undefined) return undefined
      try {
        return parseDocument(name, shape, other)
      } catch {
        // Somebody else's document: it must not keep its neighbours from logging in.
        return undefined
      }
    },
    async list() {
      await prepare()
      const documents = await connection.read(database =>
        usersOf(database)
          .find({}, { projection, sort: { [id]: 1 } })
          .toArray(),
      )
      // What has no name that can be stated is nobody.
      return documents
        .filter(document => isAccountName(nameOf(shape, document) ?? ''))
        .map(document => parseDocument(name, shape, document))
    },
    async add(account) {
      await prepare()
      await insert(account)
    },
    async setVerifier(user, verifiers) {
      const [scram, password] = columnsOf(verifiers)
      await update(user, setting({ [options.property_scram]: scram, [options.property_password]: password }))
    },
    async setRoles(user, roles) {
      await update(user, { $set: { [writableRoles(name, shape)]: roleColumn(roles) } })
    },
    async setLocked(user, locked) {
      await update(user, setting({ [options.property_locked]: locked ? true : null }))
    },
    async remove(user) {
      await prepare()
      const { deletedCount } = await connection.run(database =>
        usersOf(database).deleteOne({ [id]: { $eq: searchName(user) } }),
      )
      if (deletedCount === 0)
        throw new AccountError(
          'accounts.not_found',
          `account store ${name} has no such account: ${JSON.stringify(user)}`,
        )
      await changed(user)
    },
    async close() {
      await Promise.all([connection.close(), thread.close()])
    },
  }
  if (options.hash === 'bcrypt') return store
  return {
    ...store,
    async upgrade(account, verifiers) {
      const [scram, password] = columnsOf(verifiers)
      const { matchedCount } = await connection.run(database =>
        usersOf(database).updateOne(
          {
            [id]: { $eq: account.name },
            [options.property_scram]: { $eq: verifierColumns({ scram: account.scram })[0] },
            [options.property_password]: { $eq: storedPassword(account) },
          },
          setting({ [options.property_scram]: scram, [options.property_password]: password }),
        ),
      )
      if (matchedCount === 1) await changed(account.name)
      return matchedCount === 1
    },
    decoySecret: createDecoySecret(),
  }

  /** Of the collection `bawn` beside the users, made when it is first asked for. */
  function createDecoySecret(): () => Promise<Uint8Array> {
    let known: Uint8Array | undefined
    return async () => {
      if (known !== undefined) return known
      const value = await connection.run(async database => {
        const state = database.collection<{ readonly _id: string; readonly value: string }>('bawn')
        const fresh = { $setOnInsert: { value: randomBytes(32).toString('base64') } }
        await state.updateOne({ _id: 'decoy' }, fresh, { upsert: true }).catch(error => {
          // Of two nodes that make it at once, one does.
          if (error?.code !== duplicateKey) throw error
        })
        return (await state.findOne({ _id: 'decoy' }))?.value
      })
      const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : undefined
      if (bytes?.length !== 32)
        throw new AccountError('accounts.unavailable', `account store ${name} has lost its secret`)
      known = bytes
      return bytes
    }
  }
}

/** Documents that the database may find for one name; as many are too many to know that the right one is among them. */
const mostAlike = 10

/** What no account is called is looked for as the empty name: a lone surrogate would not cross as itself. */
function searchName(user: string): string {
  return isAccountName(user) ? user : ''
}

/** An update; `null` takes the member away. */
function setting(members: Readonly<Record<string, string | boolean | null>>): Record<string, unknown> {
  const entries = Object.entries(members)
  const set = Object.fromEntries(entries.filter(([, value]) => value !== null))
  const unset = Object.fromEntries(entries.filter(([, value]) => value === null).map(([key]) => [key, '']))
  return {
    ...(Object.keys(set).length > 0 ? { $set: set } : {}),
    ...(Object.keys(unset).length > 0 ? { $unset: unset } : {}),
  }
}

/** The text that a document has; also that of a password in clear. `null` where there is none, which also finds what is missing. */
function storedPassword({ password }: Account): string | null {
  if (password === undefined) return null
  return password.kind === 'plain' ? password.password : formatVerifier(password)
}
