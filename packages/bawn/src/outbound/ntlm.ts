import { randomBytes } from 'node:crypto'
import { OutboundError } from './error.ts'
import type { ConnectionHandshake } from './handshake.ts'
import { ntlmAuthenticate, ntlmKey, ntlmNegotiate, ntlmResponses, parseNtlmChallenge } from './ntlm-message.ts'
import type { NtlmOptions } from './option.ts'

/**
 * NTLM in HTTP (MS-NTHT, RFC 4559 section 4 for its ways): a connection is authenticated by three messages, and then carries requests.
 *
 * @param clock ms since 1970
 * @param secret what a reference stands for
 */
export function createNtlmHandshake(
  options: NtlmOptions,
  clock: () => number,
  secret: (reference: string) => string,
): ConnectionHandshake {
  const [, domain = '', user = options.user] = /^([^\\]*)\\(.*)$/.exec(options.user) ?? []
  const account = { user, domain, password: secret(options.password) }
  const key = ntlmKey(account)
  const first = `NTLM ${ntlmNegotiate().toString('base64')}`
  return {
    headers: ['authorization'],
    begin: () => ({
      first,
      reply(challenges) {
        const text = challenges.flatMap(each => /^NTLM +([A-Za-z0-9+/]+=*)$/i.exec(each.trim())?.[1] ?? [])[0]
        if (text === undefined) throw new OutboundError('outbound.refused', 'a 401 without a challenge of NTLM')
        const challenge = parseNtlmChallenge(Buffer.from(text, 'base64'))
        if (challenge === undefined) throw new OutboundError('outbound.refused', 'a challenge that is none of NTLMv2')
        const responses = ntlmResponses(key, challenge, randomBytes(8), clock())
        return `NTLM ${ntlmAuthenticate(account, challenge, responses).toString('base64')}`
      },
    }),
  }
}
