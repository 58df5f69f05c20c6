/**
 * A mask function: pure, total, and never longer than it must be. What it returns may be shown; what it was given may not.
 * Whatever a mask hides it replaces by a fixed text, so the length of the hidden part does not show.
 */
export type Mask = (plaintext: string) => string

/** Stands for any hidden part, whatever its length. */
export const hidden = '****'
