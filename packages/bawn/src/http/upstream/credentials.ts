import type { OutboundCredentials, ProofHeader } from '../../outbound/credentials.ts'
import { OutboundError } from '../../outbound/error.ts'
import type { Upstream, UpstreamRequest } from './upstream.ts'

/**
 * An upstream that learns from each request who the gateway is. A 401 is an answer to our credential, never to the caller's: a token is
 * fetched anew and the request is sent once more, where all of it is still here; after that it is our failure.
 */
export function withCredentials(upstream: Upstream, credentials: OutboundCredentials): Upstream {
  return {
    name: upstream.name,
    ownHeaders: credentials.headers,
    send(request, receiver) {
      let over = false
      let giveUp: (() => void) | undefined
      const sendWith = (proof: ProofHeader, isFirst: boolean): void => {
        if (over) return
        const carrying: UpstreamRequest = { ...request, head: `${request.head}${proof.name}: ${proof.value}\r\n` }
        giveUp = upstream.send(carrying, {
          answer: answer => {
            if (answer.head.status !== 401) {
              receiver.answer(answer)
              return
            }
            const mayAskAgain = credentials.refused(proof)
            if (answer.whole === undefined) answer.body.cancel()
            if (isFirst && mayAskAgain && request.body.kind !== 'stream') attempt(false)
            else
              receiver.fail(
                new OutboundError('outbound.refused', `${upstream.name} does not accept the gateway’s credential`),
              )
          },
          fail: (error, nothingSent) => receiver.fail(error, nothingSent),
        })
      }
      const attempt = (isFirst: boolean): void => {
        try {
          const proof = credentials.proof()
          if (proof instanceof Promise) {
            proof.then(
              late => sendWith(late, isFirst),
              cause => {
                if (!over) receiver.fail(cause)
              },
            )
          } else sendWith(proof, isFirst)
        } catch (cause) {
          receiver.fail(cause)
        }
      }
      attempt(true)
      return () => {
        over = true
        giveUp?.()
      }
    },
    retire() {
      credentials.close()
      upstream.retire()
    },
  }
}
