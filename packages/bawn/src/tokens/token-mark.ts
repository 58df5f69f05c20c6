/**
 * What an open session keeps of the token that it began with, to ask whether that is still good (`TokenManager.isGood`). Nobody can use it
 * as a token, and there is no way to print it all the same: what names a token has no place in a log or the trail.
 */
export class TokenMark {
  readonly #text: string

  /** @param text `VerifiedToken.mark` */
  constructor(text: string) {
    this.#text = text
  }

  get text(): string {
    return this.#text
  }
}
