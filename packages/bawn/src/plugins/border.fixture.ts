import { z } from 'zod'
import { calm } from '../authn/http-credentials.fixture.ts'
import { createNoncePlace, openNonceMemory } from '../authn/nonce-memory.ts'
import type { KindSurroundings } from '../plugin.ts'
import { createBorder } from './border.ts'

// What tests of the border hand in.

export const border = createBorder({ name: 'strange', folder: '/etc/bawn', timeoutMs: 20 })

/** Takes every set of keys. */
export const anyOptions = z.looseObject({})

export const now = Date.UTC(2027, 0, 1)

export const surroundings: KindSurroundings = {
  clock: () => now,
  fetch,
  log: () => {},
  secret: reference => reference,
  path: text => text,
}

/** Slows nobody down, knows nobody. */
export const mechanismSurroundings = {
  ...surroundings,
  throttle: calm,
  passwords: undefined,
  issuers: undefined,
  leavesOpaque: false,
  nonces: openNonceMemory(createNoncePlace(0), 1),
  stores: [],
} as const

/** Never comes. */
export const never = new Promise<never>(() => {})
