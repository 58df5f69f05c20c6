import { createServer } from 'node:net'
import { createProxyProtocol } from '../authn/proxy-protocol.ts'
import { listening } from '../listening.ts'
import type { HostPort } from '../option.ts'
import { type DoorOptions, type EndReason, PostgresDoor } from './door.ts'
import type { DoorState, SessionSummary } from './state.ts'
import type { DoorTls } from './tls.ts'

/** A PostgreSQL door that listens. */
export interface PostgresListener {
  /** Where it listens; the port is the one the system gave where 0 was asked for. */
  readonly address: HostPort
  /** New sessions use the new state; open ones keep theirs, and end when they would not be let in any more. */
  swap(state: DoorState): void
  /** For connections from now on. */
  renewTls(tls: DoorTls): void
  sessions(): readonly SessionSummary[]
  /** Ends every session that `which` names, with 57P01. @returns those that there were */
  endSessions(which: (summary: SessionSummary) => boolean, why: EndReason): readonly SessionSummary[]
  /** A cancel request that came to another thread. @returns whether it was for a session here */
  cancel(processId: number, key: Uint8Array): Promise<boolean>
  /** Accepts no more, ends idle sessions with 57P01, gives running ones `timeoutMs`, and resolves when all are gone. */
  drain(timeoutMs: number): Promise<void>
}

/** Listens. @param reusePort other threads listen there too. Rejects when the address cannot be had. */
export async function listenPostgres(
  address: HostPort,
  options: DoorOptions,
  state: DoorState,
  reusePort = false,
): Promise<PostgresListener> {
  const door = new PostgresDoor(options, state)
  const { proxy_protocol: proxied } = options
  const proxies =
    proxied &&
    createProxyProtocol(proxied, {
      timeoutMs: options.authentication_timeout,
      maxWaiting: options.max_connections,
      refused: (peer, why) => door.refused(peer, why),
    })
  const server = createServer({ noDelay: true }, socket => {
    if (proxies === undefined) void door.serve(socket)
    else proxies.accept(socket, from => void door.serve(socket, from))
  })
  const { port } = await listening(server, address, reusePort)
  return {
    address: { host: address.host, port },
    swap: next => door.swap(next),
    renewTls: tls => door.renewTls(tls),
    sessions: () => door.sessions.list(),
    endSessions: (which, why) => door.endSessions(which, why),
    cancel: (processId, key) => door.sessions.cancelOwn(processId, key),
    async drain(timeoutMs) {
      proxies?.close()
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      await door.drain(timeoutMs)
      await closed
    },
  }
}
