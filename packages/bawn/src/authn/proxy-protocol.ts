import type { Socket } from 'node:net'
import { type AddressRange, isInRange, parseAddress, parseAddressRange, plainAddress } from './address.ts'
import { AuthnError } from './error.ts'
import type { ProxyProtocolOptions } from './option.ts'
import { maxProxyHeaderBytes, parseProxyHeader } from './proxy-header.ts'

/** Reads PROXY headers off the connections of listed peers, before anybody else reads of them. */
export interface ProxyProtocol {
  /**
   * @param accepted called once, at once or later, with the client's address; what came behind a header is to be read from the socket.
   *   Not called for a connection that ends before, or has no header where one has to be: it is closed
   */
  accept(socket: Socket, accepted: (address: string) => void): void
  /** Cuts what is still to say who it is. */
  close(): void
}

export interface ProxyProtocolLimits {
  /** Until a header is there. */
  readonly timeoutMs: number
  /** Connections that have not said yet who they are; more are closed at once. */
  readonly maxWaiting: number
  /** A listed peer did not say it, or said what cannot be understood. */
  readonly refused: (peer: string, why: string) => void
}

/**
 * A listed peer has to send a header, for otherwise its own address would be taken for the client's; nobody else's is looked for, so
 * that it is malformed as whatever the door speaks.
 *
 * @throws {AuthnError} `authn.bad_address`
 */
export function createProxyProtocol({ from }: ProxyProtocolOptions, limits: ProxyProtocolLimits): ProxyProtocol {
  const ranges = from.flatMap((text): readonly AddressRange[] => {
    const reading = parseAddressRange(text)
    if (reading.kind === 'ranges') return reading.ranges
    throw new AuthnError('authn.bad_address', `proxy_protocol.from: ${reading.message}`)
  })
  const waiting = new Set<Socket>()
  return {
    accept: (socket, accepted) => {
      const peer = plainAddress(socket.remoteAddress)
      const address = parseAddress(peer)
      if (address === undefined || !ranges.some(range => isInRange(address, range))) {
        accepted(peer)
        return
      }
      if (waiting.size >= limits.maxWaiting) {
        socket.destroy()
        return
      }
      waiting.add(socket)
      const timer = setTimeout(() => refuse('no PROXY header in time'), limits.timeoutMs)
      let held: Buffer = Buffer.alloc(0)
      const finish = (): void => {
        waiting.delete(socket)
        clearTimeout(timer)
        socket.off('readable', read)
        socket.off('end', ended)
        socket.off('close', finish)
        socket.off('error', ignore)
      }
      const refuse = (why: string): void => {
        finish()
        socket.on('error', ignore)
        socket.destroy()
        // Who connects and says nothing at all looks whether somebody listens.
        if (held.length > 0) limits.refused(peer, why)
      }
      const read = (): void => {
        const bytes: Buffer | null = socket.read()
        if (bytes === null) return
        held = held.length === 0 ? bytes : Buffer.concat([held, bytes])
        const header = parseProxyHeader(held.subarray(0, maxProxyHeaderBytes))
        if (header.kind === 'malformed') refuse(header.why)
        if (header.kind !== 'header') return
        finish()
        if (header.length < held.length) socket.unshift(held.subarray(header.length))
        accepted(header.source ?? peer)
      }
      const ended = (): void => refuse('closed before its PROXY header')
      socket.on('readable', read)
      socket.once('end', ended)
      socket.once('close', finish)
      socket.on('error', ignore)
    },
    close: () => {
      for (const socket of waiting) socket.destroy()
    },
  }
}

const ignore = (): void => {}
