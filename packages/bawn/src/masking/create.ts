import { email } from './email.ts'
import { fixed } from './fixed.ts'
import { keepFirst } from './keep-first.ts'
import { keepLast } from './keep-last.ts'
import type { Mask } from './mask.ts'
import type { MaskOptions } from './option.ts'

/** The mask that a checked configuration names. */
export function createMask(options: MaskOptions): Mask {
  switch (options.mask) {
    case 'keep_first':
      return keepFirst(options.characters)
    case 'keep_last':
      return keepLast(options.characters)
    case 'email':
      return email
    case 'fixed':
      return fixed(options.text)
  }
}
