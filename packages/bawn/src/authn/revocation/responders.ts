import { randomBytes } from 'node:crypto'
import type { RevocationOptions } from '../../option.ts'
import { createTokenCache } from '../../tokens/token-cache.ts'
import { download } from './download.ts'
import { buildOcspRequest, nonceBytes, type OcspAnswer, readOcspAnswer } from './ocsp.ts'
import { createRefreshed, type Dated, type Refreshed } from './refreshed.ts'
import type { Revocable } from './revocable.ts'
import type { RevocationSurroundings } from './surroundings.ts'
import { reasonOf, undecided } from './undecided.ts'

/** Answers of responders, each kept for one certificate of one issuer. */
export interface Responders {
  /** Rejects, in words for the log, when the responder gives no answer that may be believed. */
  ask(url: string, subject: Revocable, issuer: Revocable): Promise<Dated<OcspAnswer>>
}

const maxAnswerBytes = 65_536
const maxAnswers = 10_000
/** Questions under way at once; more are "cannot decide". */
const maxPending = 256

export function createResponders(
  options: NonNullable<RevocationOptions['ocsp']>,
  surroundings: RevocationSurroundings,
): Responders {
  const { clock, log } = surroundings
  const answers = createTokenCache<Refreshed<OcspAnswer>>({ maxEntries: maxAnswers, maxWeight: maxAnswers })
  let pending = 0

  const load = async (url: string, subject: Revocable, issuer: Revocable): Promise<Dated<OcspAnswer>> => {
    if (pending >= maxPending) throw undecided(`${maxPending} questions wait for responders`)
    pending += 1
    try {
      const nonce = options.nonce === 'off' ? undefined : randomBytes(nonceBytes)
      const bytes = await download(
        {
          url,
          body: {
            bytes: new Uint8Array(buildOcspRequest(subject, issuer, nonce)),
            type: 'application/ocsp-request',
          },
          accept: 'application/ocsp-response',
          maxBytes: maxAnswerBytes,
          timeoutMs: options.timeout,
          isPermitted: surroundings.isPermitted,
        },
        surroundings.fetch,
        surroundings.closing,
      )
      const asked = { subject, issuer, nonce, isNonceRequired: options.nonce === 'required' }
      const answer = await readOcspAnswer(bytes, asked, clock())
      return { value: answer, until: answer.validUntil }
    } catch (cause) {
      throw undecided(`responder ${url}: ${reasonOf(cause)}`, cause)
    } finally {
      pending -= 1
    }
  }

  return {
    ask(url, subject, issuer) {
      const key = `${subject.serial} ${issuer.certificate.fingerprint256} ${url}`
      let answer = answers.get(key)
      if (answer === undefined) {
        answer = createRefreshed(() => load(url, subject, issuer), {
          cacheMs: options.cache_time,
          clock,
          onFailure: cause => log('warn', reasonOf(cause), cause),
        })
        answers.set(key, answer, 1)
      }
      return answer.get()
    },
  }
}
