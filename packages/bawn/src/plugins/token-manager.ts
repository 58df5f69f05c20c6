import type { TokenManagerKind } from '../plugin.ts'
import { TokenError } from '../tokens/error.ts'
import { originMember } from '../tokens/origin.ts'
import { claimsMember, isOptional } from '../tokens/record.ts'
import type { IssuedToken, TokenListing, TokenManager, TokenSubject, VerifiedToken } from '../tokens/token-manager.ts'
import { isName, readRoles } from './answer.ts'
import { type Border, isObject, methodOf, narrowSurroundings, parseOptions } from './border.ts'
import { PluginError } from './error.ts'
import type { TrustedTokenManagerKind } from './trusted.ts'

/** What fits into Authorization: Bearer, a cookie and a header of an answer alike; shorter ones could be guessed. */
const tokenForm = /^[A-Za-z0-9._~+/-]{22,4096}={0,2}$/

/** Characters of `VerifiedToken.mark`: each open session keeps one. */
const maxMarkLength = 16_384

const methods = ['recognizes', 'issue', 'verify', 'revoke', 'revokeAll', 'list', 'close'] as const

/**
 * A token manager of a plug-in behind the border. Whatever it says: no token outlives the credential that it was issued for, none speaks
 * for somebody else than is stated with it, and none is good beyond its end.
 */
export function guardTokenManager(kind: TokenManagerKind, border: Border): TrustedTokenManagerKind {
  const what = `token manager ${kind.kind}`

  /** Errors of tokens of ours (`randomTokens`) keep their code. */
  const ask = async (work: () => unknown): Promise<unknown> => {
    try {
      return await border.ask(what, work)
    } catch (error) {
      throw error instanceof PluginError && error.cause instanceof TokenError ? error.cause : error
    }
  }

  return {
    kind: kind.kind,
    options: kind.options,
    async open(written, given): Promise<TokenManager> {
      const surroundings = narrowSurroundings(border, what, written, given)
      const options = parseOptions(border, what, kind.options, written)
      const made = await border.ask(`opening ${what}`, () => kind.open(options, surroundings))
      const found = methods.map(name => (isObject(made) ? methodOf(made, name) : undefined))
      const [recognizes, issue, verify, revoke, revokeAll, list, close] = found
      const isGood = isObject(made) ? methodOf(made, 'isGood') : undefined
      if (!recognizes || !issue || !verify || !revoke || !revokeAll || !list || !close) {
        throw border.fault(what, `lacks ${methods.filter((_, at) => found[at] === undefined).join(', ')}`)
      }
      const read = <Answer>(parse: () => Answer | string): Answer => {
        const answer = border.askNow(what, parse)
        if (typeof answer === 'string') throw border.fault(what, answer)
        return answer
      }
      const isRecognized = (text: string): boolean => border.askNow(what, (): unknown => recognizes(text)) === true
      const counted = async (work: () => unknown): Promise<number> => {
        const count = await ask(work)
        if (typeof count === 'number' && Number.isSafeInteger(count) && count >= 0) return count
        throw border.fault(what, 'revoked a number of tokens that is none')
      }
      return {
        name: kind.kind,
        recognizes: isRecognized,
        async issue(subject, credential) {
          const answer = await ask(() => issue(subject, credential))
          return read(() => {
            const issued = readIssued(answer, subject)
            if (typeof issued === 'string' || isRecognized(issued.token)) return issued
            return 'issued a token that it does not recognize'
          })
        },
        async verify(token, statedUser) {
          const answer = await ask(() => verify(token, statedUser))
          if (answer === undefined) return undefined
          const verified = read(() => readVerified(answer, isGood !== undefined))
          const { subject, validUntil } = verified
          const end = Math.min(validUntil, subject.notAfter ?? Number.POSITIVE_INFINITY)
          if (end <= surroundings.clock()) return undefined
          if (statedUser !== undefined && statedUser !== subject.id) return undefined
          const isIssuedFor = isObject(answer) ? methodOf(answer, 'isIssuedFor') : undefined
          return {
            ...verified,
            // Who does not say for which password it was issued has issued it for none.
            isIssuedFor: credential =>
              isIssuedFor === undefined
                ? credential === undefined
                : border.askNow(what, (): unknown => isIssuedFor(credential)) === true,
          }
        },
        ...(isGood && {
          isGood: async (mark: string) => {
            const answer = await ask(() => isGood(mark))
            if (typeof answer === 'boolean') return answer
            throw border.fault(what, 'says of a token neither that it is good nor that it is not')
          },
        }),
        revoke: subjectId => counted(() => revoke(subjectId)),
        revokeAll: () => counted(() => revokeAll()),
        async list() {
          const answer = await ask(() => list())
          return answer === undefined ? undefined : read(() => readListing(answer))
        },
        close: async () => {
          await border.ask(`closing ${what}`, () => close())
        },
      }
    },
  }
}

// What is wrong is said as a text, without a value.

function readIssued(answer: unknown, { notAfter }: TokenSubject): IssuedToken | string {
  if (!isObject(answer)) return 'issued nothing'
  const { token, validUntil, isNew } = answer
  if (typeof token !== 'string' || !tokenForm.test(token)) return 'issued a token of a form that cannot be sent'
  if (!isInstant(validUntil)) return 'issued a token without an end'
  if (notAfter !== undefined && validUntil > notAfter) return 'issued a token that outlives its proof'
  return { token, validUntil, isNew: isNew === true }
}

function readVerified(answer: unknown, looks: boolean): Omit<VerifiedToken, 'isIssuedFor'> | string {
  if (!isObject(answer)) return 'verified a token as nothing'
  const { validUntil, renewed, mark } = answer
  const subject = readSubject(answer['subject'])
  if (subject === undefined || !isInstant(validUntil)) return 'verified a token as nobody’s, or without an end'
  const verified = { subject, validUntil, renewed: renewed === true }
  if (!looks) return verified
  if (typeof mark !== 'string' || mark === '' || mark.length > maxMarkLength) {
    return 'has isGood, and verified a token without a mark that it could be asked about'
  }
  return { ...verified, mark }
}

function readListing(answer: unknown): readonly TokenListing[] | string {
  if (!Array.isArray(answer)) return 'lists tokens that are no list'
  const listing = answer.map((item: unknown): TokenListing | undefined => {
    if (!isObject(item)) return undefined
    const { issuedAt, validUntil } = item
    const subject = readSubject(item['subject'])
    return subject && isInstant(issuedAt) && isInstant(validUntil) ? { subject, issuedAt, validUntil } : undefined
  })
  const good = listing.filter(item => item !== undefined)
  return good.length === listing.length ? good : 'lists a token that is nobody’s'
}

function readSubject(value: unknown): TokenSubject | undefined {
  if (!isObject(value)) return undefined
  const { id, roles, source, clientId, notAfter, claims } = value
  const list = readRoles(roles)
  if (!isName(id) || list === undefined) return undefined
  if (!isTextOrNothing(source) || !isTextOrNothing(clientId)) return undefined
  if (notAfter !== undefined && !isInstant(notAfter)) return undefined
  if (!isOptional(claims, 'string')) return undefined
  const origin = originMember(value['origin'])
  return origin && { id, roles: list, source, clientId, notAfter, ...origin, ...claimsMember(claims) }
}

function isInstant(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isTextOrNothing(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && value.length <= 256)
}
