import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type SecureClientSessionOptions } from 'node:http2'
import type { TestContext } from 'node:test'
import { createAuthority } from '@bawn/demo/certificates'
import { type Kit, type KitOptions, startDoor } from './kit.test.ts'

// A door that speaks HTTP/2, and node's own client for it.

export const authority = createAuthority('the tests')
const issued = authority.issue('gate.example', 'server', ['gate.example', '127.0.0.1'])
export const tls = { certificate: issued.certificate, key: issued.key }

export function startHttp2(t: TestContext, options: KitOptions): Promise<Kit> {
  return startDoor(t, { tls, ...options })
}

export function session(t: TestContext, port: number, more: SecureClientSessionOptions = {}): ClientHttp2Session {
  // The types do not know it: without it the client would not say a thing twice.
  const lenient: SecureClientSessionOptions & { strictSingleValueFields: boolean } = { strictSingleValueFields: false }
  const client = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...lenient, ...more })
  client.on('error', () => {})
  t.after(() => client.destroy())
  return client
}

export interface Http2Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** @param onBegin when the first of the answer has come @returns undefined when the stream was reset */
export async function ask(
  client: ClientHttp2Session,
  headers: Readonly<Record<string, string | string[]>>,
  body?: string | Buffer,
  onBegin: () => void = () => {},
): Promise<Http2Answer | undefined> {
  const request = client.request({ ':authority': 'gate.example', ...headers }, { endStream: body === undefined })
  let failed = false
  request.on('error', () => {
    failed = true
  })
  if (body !== undefined) request.end(body)
  let got: IncomingHttpHeaders | undefined
  request.on('response', answer => {
    got = answer
    onBegin()
  })
  const pieces: Buffer[] = []
  request.on('data', bytes => pieces.push(bytes))
  await new Promise(resolve => request.once('close', resolve))
  if (got === undefined || failed) return undefined
  return { status: Number(got[':status']), headers: got, body: Buffer.concat(pieces).toString() }
}
