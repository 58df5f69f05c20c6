import { hidden, type Mask } from './mask.ts'

/**
 * Shows `****` and the last characters. A value that has no more than `characters` is hidden whole, as with `keepFirst`.
 *
 * @param characters Unicode code points, from 0
 */
export function keepLast(characters: number): Mask {
  return plaintext => {
    let start = plaintext.length
    for (let kept = 0; kept < characters && start > 0; kept++) {
      // A low surrogate belongs to the high one before it; anything else stands alone.
      start -= start > 1 && (plaintext.codePointAt(start - 2) ?? 0) > 0xffff ? 2 : 1
    }
    return start > 0 ? hidden + plaintext.slice(start) : hidden
  }
}
