/** A mask function: pure, total, and never longer than it must be. What it returns may be shown; what it was given may not. */
export type Mask = (plaintext: string) => string
