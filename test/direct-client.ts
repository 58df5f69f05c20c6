import { createScramCredential } from '../packages/bawn/src/authn/scram-client.ts'
import { applicationNameOf } from '../packages/bawn/src/postgres/startup-settings.ts'
import { openUpstream } from '../packages/bawn/src/postgres/upstream.ts'
import { type Kit, RawClient } from './postgres-kit.ts'

/** A connection straight to PostgreSQL, logged in as its owner: what the same messages are answered without the door. No tests in here. */
export interface DirectClient {
  readonly client: RawClient
  readonly processId: number
  readonly key: Buffer
}

/** @param user is called so by the application name, as a session through the door is */
export async function directLogin({ postgres }: Kit, database = 'postgres', user = 'direct'): Promise<DirectClient> {
  const { host, port, password } = postgres
  const timeLimits = { connectTimeoutMs: 20_000, probeAfterMs: 20_000 }
  const target = { host, port, database, tls: undefined, user: postgres.user, password, ...timeLimits }
  const login = { user: postgres.user, scram: createScramCredential(password), password: undefined }
  const upstream = await openUpstream(target, login, [
    ['client_encoding', 'UTF8'],
    ['standard_conforming_strings', 'on'],
    ['application_name', applicationNameOf(user, '')],
  ])
  const client = new RawClient(upstream.socket)
  upstream.socket.resume()
  return { client, processId: upstream.processId, key: upstream.key }
}
