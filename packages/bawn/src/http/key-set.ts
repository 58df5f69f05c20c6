import type { Turn } from './turn.ts'

/** Gives the gateway's own public keys to whoever asks: they are no secret, and whoever checks a token has none yet. */
export function answerKeySet(turn: Turn, path: string, keySet: Buffer): void {
  const { request, answer, requestId } = turn
  turn.resource = path
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    const headers = ['Allow', 'GET, HEAD']
    turn.refuse({ code: 'http.method_not_allowed', rule: 'no route', decision: 'deny', headers })
    return
  }
  turn.rule = 'signing: public keys'
  turn.record('permit', 200)
  if (!turn.claimAnswer()) return
  const headers = ['Content-Type', 'application/jwk-set+json', 'Content-Length', String(keySet.length)]
  headers.push('Cache-Control', 'public, max-age=300', 'X-Request-Id', requestId, ...turn.headers)
  answer.send(200, headers, request.method === 'HEAD' ? undefined : keySet)
}
