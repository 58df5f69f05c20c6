import { z } from 'zod'
import type { Frozen } from '../option.ts'

/** Which mask a role's view of a field has. `characters` are Unicode code points. */
export const maskOptions = z.discriminatedUnion('mask', [
  z.strictObject({
    mask: z.literal('keep_first'),
    characters: z.int().min(0).max(1000).describe('how many are shown'),
  }),
  z.strictObject({ mask: z.literal('keep_last'), characters: z.int().min(0).max(1000).describe('how many are shown') }),
  z.strictObject({ mask: z.literal('email') }),
  z.strictObject({ mask: z.literal('fixed'), text: z.string().max(1000).describe('what is shown instead') }),
])
export type MaskOptions = Frozen<z.output<typeof maskOptions>>
