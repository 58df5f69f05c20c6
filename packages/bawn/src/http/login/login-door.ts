import type { LoginThrottle } from '../../accounts/throttle.ts'
import type { BrowserLogin } from '../../authn/oidc/browser-login.ts'

/** Logging in by a browser at this door: what the configuration says of it, compiled. */
export interface LoginDoor {
  readonly login: BrowserLogin
  readonly paths: LoginPaths
  /** Where a browser ends up after logging out; absolute. */
  readonly loggedOut: string
  /** The longest that a session lasts. */
  readonly sessionMs: number
  /** Logins that begin; nothing is given back. */
  readonly starts: LoginThrottle
  /** Logins that fail; those that succeed are given back. */
  readonly failures: LoginThrottle
}

/** Absolute paths of plain segments. */
export interface LoginPaths {
  readonly login: string
  readonly callback: string
  readonly logout: string
  /** A page of ours; `undefined` where the configuration names another place. */
  readonly loggedOut: string | undefined
  readonly backchannel: string | undefined
}

/** What a path of ours is. */
export interface LoginTarget {
  readonly kind: 'login' | 'callback' | 'logout' | 'logged-out' | 'backchannel'
  readonly allow: readonly string[]
  /** For the trail and the metrics. */
  readonly pattern: string
}

/** @param segments decoded, of the request's path. @returns undefined when the path is not ours */
export function findLoginTarget(paths: LoginPaths, segments: readonly string[]): LoginTarget | undefined {
  const pattern = `/${segments.join('/')}`
  switch (pattern) {
    case paths.login:
      return { kind: 'login', allow: ['GET', 'HEAD'], pattern }
    case paths.callback:
      return { kind: 'callback', allow: ['GET'], pattern }
    case paths.logout:
      return { kind: 'logout', allow: ['GET', 'HEAD', 'POST'], pattern }
    case paths.loggedOut:
      return { kind: 'logged-out', allow: ['GET', 'HEAD'], pattern }
    case paths.backchannel:
      return { kind: 'backchannel', allow: ['POST'], pattern }
    default:
      return undefined
  }
}
