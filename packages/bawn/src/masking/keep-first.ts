import { hidden, type Mask } from './mask.ts'

/**
 * Shows the first characters and `****` for the rest, however long that is. A value that has no more than `characters` is hidden
 * whole: shown, it would not be masked at all. That such a value is short is the one thing the mask tells about length.
 *
 * @param characters Unicode code points, from 0
 */
export function keepFirst(characters: number): Mask {
  return plaintext => {
    let end = 0
    for (let kept = 0; kept < characters && end < plaintext.length; kept++) {
      end += (plaintext.codePointAt(end) ?? 0) > 0xffff ? 2 : 1
    }
    return end < plaintext.length ? plaintext.slice(0, end) + hidden : hidden
  }
}
