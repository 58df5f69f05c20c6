import { readFileSync } from 'node:fs'
import { type IncomingMessage, request as requestPlain } from 'node:http'
import { request as requestSecure } from 'node:https'
import { readBounded } from '../answer-body.ts'
import { OutboundError } from './error.ts'

/** No answer of a token endpoint is longer. */
const maxAnswerBytes = 65_536

export type PostForm = (url: string, headers: Readonly<Record<string, string>>, form: string) => Promise<Uint8Array>

/**
 * Sends a form and gives the body of a 200. A redirect is no answer: it would take the secret to where nobody sent it. Chain and name of
 * the server are verified.
 *
 * @param ca PEM file of the only authorities; `undefined`: the public ones
 * @throws {OutboundError} `outbound.bad_credentials` when the file cannot be read; what it returns rejects with whatever went wrong
 */
export function createPostForm(ca: string | undefined, timeoutMs: number): PostForm {
  const authorities = ca === undefined ? undefined : readAuthorities(ca)
  return async (url, headers, form) => {
    const request = url.startsWith('https:') ? requestSecure : requestPlain
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(url, {
        method: 'POST',
        agent: false,
        headers: { ...headers, 'content-length': Buffer.byteLength(form) },
        signal: AbortSignal.timeout(timeoutMs),
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
        ...(authorities === undefined ? {} : { ca: authorities }),
      })
        .on('response', resolve)
        .on('error', reject)
        .end(form)
    })
    if (response.statusCode !== 200) {
      response.destroy()
      throw new Error(`status ${response.statusCode}`)
    }
    return readBounded(response, maxAnswerBytes)
  }
}

function readAuthorities(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new OutboundError('outbound.bad_credentials', `cannot read ca ${path}`, { cause })
  }
}
