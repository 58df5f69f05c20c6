import type { Config } from './config/load.ts'
import { withCredentials } from './http/upstream/credentials.ts'
import { createUpstream } from './http/upstream/pool.ts'
import type { Upstream } from './http/upstream/upstream.ts'
import { openCredentials, openHandshake, openSignature } from './outbound/open.ts'
import type { KindSurroundings } from './plugin.ts'

/**
 * What routes lead to, by name.
 *
 * @throws {GatewayError} `http.bad_upstream`, `outbound.bad_credentials`, `config.secret`
 */
export function composeUpstreams(
  config: Config,
  surroundings: Pick<KindSurroundings, 'clock' | 'secret' | 'log'>,
): Map<string, Upstream> {
  return new Map(
    Object.entries(config.upstreams).map(([name, options]) => {
      const { credentials } = options
      const log = (message: string): void => surroundings.log('warn', message)
      if (credentials?.kind === 'aws-sigv4')
        return [name, createUpstream(name, options, { log, signature: openSignature(credentials, surroundings) })]
      if (credentials?.kind === 'ntlm')
        return [name, createUpstream(name, options, { log, handshake: openHandshake(credentials, surroundings) })]
      const upstream = createUpstream(name, options, { log })
      return [name, credentials ? withCredentials(upstream, openCredentials(credentials, surroundings)) : upstream]
    }),
  )
}
