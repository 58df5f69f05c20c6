import { OutboundError } from '../../outbound/error.ts'
import type { RequestSignature } from '../../outbound/signature.ts'
import { collectBody } from '../body.ts'
import { HttpError } from '../problem.ts'
import type { Upstream, UpstreamRequest } from './upstream.ts'

const empty = Buffer.alloc(0)

/** One server, to which each request goes signed. @param prefix what stands before every path there; the server adds none itself */
export function withSignature(
  server: Upstream,
  { host, prefix }: { readonly host: string; readonly prefix: string },
  signature: RequestSignature,
): Upstream {
  return {
    name: server.name,
    ownHeaders: signature.headers,
    send(request, receiver) {
      const { body } = request
      let signed: Pick<UpstreamRequest, 'target' | 'head'>
      try {
        signed = signature.sign({
          method: request.method,
          host,
          target: `${prefix}${request.target}`,
          head: request.head,
          body: body.kind === 'stream' ? 'streams' : body.kind === 'bytes' ? body.bytes : empty,
        })
      } catch (cause) {
        receiver.fail(cause)
        return () => {}
      }
      return server.send(
        { ...request, ...signed },
        {
          answer: answer => {
            if (answer.head.status !== 401) {
              receiver.answer(answer)
              return
            }
            if (answer.whole === undefined) answer.body.cancel()
            receiver.fail(
              new OutboundError('outbound.refused', `${server.name} does not accept the gateway’s signature`),
            )
          },
          fail: (error, nothingSent) => receiver.fail(error, nothingSent),
        },
      )
    },
    retire: () => server.retire(),
  }
}

/** An upstream whose requests are covered by a signature, body and all: what streams is collected before, so far as the signature needs it. */
export function withCollectedBodies(upstream: Upstream, isSecure: boolean, signature: RequestSignature): Upstream {
  const max = signature.maxBodyBytes
  const tooLarge = (): HttpError =>
    new HttpError('http.body_too_large', `a body of more than ${max} bytes, which has to be signed`)
  return {
    name: upstream.name,
    ownHeaders: signature.headers,
    send(request, receiver) {
      const { body } = request
      if (body.kind !== 'stream' || signature.streams(isSecure, body.length)) return upstream.send(request, receiver)
      if (body.length !== undefined && body.length > max) {
        receiver.fail(tooLarge())
        return () => {}
      }
      let giveUp: (() => void) | undefined = () => body.source.cancel()
      let over = false
      collectBody(body.source, max, tooLarge).then(
        bytes => {
          if (!over) giveUp = upstream.send({ ...request, body: { kind: 'bytes', bytes } }, receiver)
        },
        error => {
          if (!over) receiver.fail(error)
        },
      )
      return () => {
        over = true
        giveUp?.()
      }
    },
    retire: () => upstream.retire(),
  }
}
