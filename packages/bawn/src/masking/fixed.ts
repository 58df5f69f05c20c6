import type { Mask } from './mask.ts'

/** Shows the same text for every value. */
export function fixed(text: string): Mask {
  return () => text
}
