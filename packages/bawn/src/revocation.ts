import { isSameVersion } from './accounts/credential-version.ts'
import type { AccountStore } from './accounts/store.ts'
import { type Identity, isAccountOf } from './authn/identity.ts'
import type { HttpDoor } from './http/door.ts'
import type { PostgresListener } from './postgres/listener.ts'

/** Twice within the second after which a revoked identity has lost its open sessions. */
const everyMs = 500
/** Looked at together: a store may be a round trip away, and its connections are for logins as well. */
const atOnce = 4

/**
 * Whether somebody who logged in once could not log in as the same today: the account is gone or locked, its password or its roles are
 * others, or the proof has expired. Rejects when a store cannot tell; a session is not ended for that.
 */
export async function isRevoked(identity: Identity, stores: readonly AccountStore[], now: number): Promise<boolean> {
  if (identity.expiresAt !== undefined && identity.expiresAt <= now) return true
  const store = stores.find(({ name }) => isAccountOf(identity, name))
  if (store === undefined) return false
  const account = await store.find(identity.id)
  if (account === undefined || account.locked || !isSameVersion(identity.credential, account.credential)) return true
  const roles = new Set(account.roles)
  return roles.size !== identity.roles.length || !identity.roles.every(role => roles.has(role))
}

export interface RevocationWatch {
  close(): void
}

/**
 * Ends every open session whose identity is over, and every one that came with a certificate which was revoked since.
 *
 * @param isOver rejects when it cannot be decided
 */
export function watchSessions(
  listeners: ReadonlyMap<string, Pick<PostgresListener, 'sessions' | 'endSessions'>>,
  isOver: (identity: Identity) => Promise<boolean>,
): RevocationWatch {
  return watchIdentities({
    open: () => {
      const open = new Set<Identity>()
      for (const { sessions, endSessions } of listeners.values()) {
        endSessions(session => session.hasRevokedCertificate(), 'revoked')
        for (const { identity } of sessions()) open.add(identity)
      }
      return open
    },
    isOver,
    end: gone => {
      for (const { endSessions } of listeners.values()) endSessions(({ identity }) => identity === gone, 'revoked')
    },
  })
}

/**
 * Cuts every answer that is still being sent to an account whose identity is over. What was asked for before the proof ran out is sent
 * to its end: a download may take longer than a token lives.
 *
 * @param isOver rejects when it cannot be decided
 */
export function watchStreams(
  doors: ReadonlyMap<string, Pick<HttpDoor, 'streams' | 'endStreams'>>,
  isOver: (identity: Identity) => Promise<boolean>,
): RevocationWatch {
  let before: ReadonlySet<Identity> = new Set()
  return watchIdentities({
    open: () => {
      const now = new Set([...doors.values()].flatMap(door => [...door.streams()]))
      // Most are over before they are looked at twice, and a look may cost a question to a database.
      const lasting = [...now].filter(identity => before.has(identity))
      before = now
      return lasting
    },
    isOver: identity => isOver({ ...identity, expiresAt: undefined }),
    end: gone => {
      for (const door of doors.values()) door.endStreams(gone)
    },
  })
}

/**
 * Looks at everybody who has an open session, twice a second; a round that takes longer delays the next one.
 *
 * @param open identities of open sessions, each object once
 * @param isOver rejects when it cannot be decided
 * @param end ends every session of exactly this identity
 */
export function watchIdentities(watched: {
  readonly open: () => Iterable<Identity>
  readonly isOver: (identity: Identity) => Promise<boolean>
  readonly end: (identity: Identity) => void
}): RevocationWatch {
  let looking = false
  const look = async (): Promise<void> => {
    if (looking) return
    looking = true
    try {
      const open = watched.open()[Symbol.iterator]()
      const lookAtNext = async (): Promise<void> => {
        for (let next = open.next(); next.done !== true; next = open.next()) {
          if (await watched.isOver(next.value).catch(() => false)) watched.end(next.value)
        }
      }
      await Promise.all(Array.from({ length: atOnce }, lookAtNext))
    } finally {
      looking = false
    }
  }
  const timer = setInterval(() => void look(), everyMs)
  timer.unref()
  return { close: () => clearInterval(timer) }
}
