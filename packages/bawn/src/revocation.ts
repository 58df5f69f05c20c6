import { isSameVersion } from './accounts/credential-version.ts'
import type { AccountStore } from './accounts/store.ts'
import { type Identity, isAccountOf } from './authn/identity.ts'
import type { TakenBack } from './authn/taken-back.ts'
import type { HttpDoor } from './http/door.ts'
import type { PostgresListener } from './postgres/listener.ts'
import type { TokenManager, TokenSubject } from './tokens/token-manager.ts'

/** Twice within the second after which a revoked identity has lost its open sessions. */
const everyMs = 500
/** Looked at together: a store may be a round trip away, and its connections are for logins as well. */
const atOnce = 4

/** Tokens of ours, as they are now. */
export interface TokensNow extends Pick<TokenManager, 'isGood'> {
  /** Whether the configuration still gives a subject that no store knows what its token says. */
  isConfigured(subject: TokenSubject): boolean
}

/**
 * Whether somebody who logged in once could not log in as the same today: the account is gone or locked, its password or its roles are
 * others, the proof has expired, or the token of ours was revoked. Rejects when a store cannot tell; a session is not ended for that.
 *
 * @param tokens `undefined` where the configuration has none now
 */
export async function isRevoked(
  identity: Identity,
  stores: readonly AccountStore[],
  now: number,
  tokens?: TokensNow,
): Promise<boolean> {
  if (identity.expiresAt !== undefined && identity.expiresAt <= now) return true
  // One store that is away does not hide what the other says.
  const looks = await Promise.allSettled([isTokenOver(identity, stores, tokens), isAccountOver(identity, stores)])
  if (looks.some(look => look.status === 'fulfilled' && look.value)) return true
  for (const look of looks) if (look.status === 'rejected') throw look.reason
  return false
}

/** Whether it is known that what somebody was proven with was taken back. While that cannot be known, what goes on goes on. */
export function isTakenBack(identity: Identity, takenBack: Pick<TakenBack, 'has'> | undefined): boolean {
  try {
    return takenBack?.has(identity) === true
  } catch {
    return false
  }
}

/** Ends every session, and cuts every answer, of somebody whose token was taken back. Costs a look-up in memory for each. */
export function endTakenBack(
  listeners: ReadonlyMap<string, Pick<PostgresListener, 'endSessions'>>,
  doors: ReadonlyMap<string, Pick<HttpDoor, 'streams' | 'endStreams' | 'tunnels' | 'endTunnels'>>,
  isGone: (identity: Identity) => boolean,
): void {
  for (const { endSessions } of listeners.values()) endSessions(({ identity }) => isGone(identity), 'revoked')
  for (const { streams, endStreams, tunnels, endTunnels } of doors.values()) {
    for (const identity of new Set(streams())) if (isGone(identity)) endStreams(identity)
    for (const identity of new Set(tunnels())) if (isGone(identity)) endTunnels(identity)
  }
}

/** Looks again and again, for whoever began meanwhile: what is revoked ends at once. */
export function watchTakenBack(end: () => void): RevocationWatch {
  const timer = setInterval(end, everyMs)
  timer.unref()
  return { close: () => clearInterval(timer) }
}

async function isTokenOver(
  identity: Identity,
  stores: readonly AccountStore[],
  tokens: TokensNow | undefined,
): Promise<boolean> {
  const { token } = identity
  if (token === undefined) return false
  if ((await tokens?.isGood?.(token.text)) !== true) return true
  if (stores.some(({ name }) => isAccountOf(identity, name))) return false
  return tokens?.isConfigured({ ...identity, claims: undefined, notAfter: undefined }) !== true
}

async function isAccountOver(identity: Identity, stores: readonly AccountStore[]): Promise<boolean> {
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
    // Of a token that has run out nobody knows afterwards whether it was revoked instead.
    isOver: identity => isOver({ ...identity, expiresAt: undefined, token: undefined }),
    end: gone => {
      for (const door of doors.values()) door.endStreams(gone)
    },
  })
}

/**
 * Closes every WebSocket connection whose identity is over. One lasts as a session does, so it ends when its proof runs out, too.
 *
 * @param isOver rejects when it cannot be decided
 */
export function watchTunnels(
  doors: ReadonlyMap<string, Pick<HttpDoor, 'tunnels' | 'endTunnels'>>,
  isOver: (identity: Identity) => Promise<boolean>,
): RevocationWatch {
  return watchIdentities({
    open: () => new Set([...doors.values()].flatMap(door => [...door.tunnels()])),
    isOver,
    end: gone => {
      for (const door of doors.values()) door.endTunnels(gone)
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
