import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { parseAddress } from './address.ts'

// A DNS server on UDP (RFC 1035), for tests: it says what the test wants, and counts what it was asked.

/** What it says of a name: addresses, or names, or that it does not exist, or that it cannot say; `silence`: nothing. */
export type Record = readonly string[] | 'servfail' | 'silence'

export interface DnsServer {
  /** By `name type`: `db.example A`, `7.0.0.10.in-addr.arpa PTR`. What is not here does not exist. */
  readonly records: Map<string, Record>
  /** In seconds, of every answer. */
  ttl: number
  readonly asked: string[]
  /** Asks this server and no other. */
  readonly resolver: Resolver
  /** The same, and gives up soon: for what is answered with silence. */
  readonly impatient: Resolver
  close(): void
}

const types: Readonly<{ [type: number]: 'A' | 'PTR' | 'AAAA' }> = { 1: 'A', 12: 'PTR', 28: 'AAAA' }
/** `::ffff:0:0/96` */
const mapped = Buffer.from('00000000000000000000ffff', 'hex')
const codes = { noError: 0, servfail: 2, nxdomain: 3 } as const

export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket('udp4')
  const server = { records: new Map<string, Record>(), ttl: 60, asked: [] as string[] }
  socket.on('message', (query, from) => {
    const { name, end } = readName(query, 12)
    const type = types[query.readUInt16BE(end)] ?? 'A'
    const question = query.subarray(12, end + 4)
    const key = `${name.toLowerCase()} ${type}`
    server.asked.push(key)
    const found = server.records.get(key)
    if (found === 'silence') return
    const exists = [...server.records.keys()].some(known => known.startsWith(`${name.toLowerCase()} `))
    const code = found === 'servfail' ? codes.servfail : exists ? codes.noError : codes.nxdomain
    const answers = (Array.isArray(found) ? found : []).map((value: string) => answer(type, value, server.ttl))
    const header = Buffer.alloc(12)
    query.copy(header, 0, 0, 2)
    // A response to a recursive query.
    header.writeUInt16BE(0x8180 | code, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(answers.length, 6)
    socket.send(Buffer.concat([header, question, ...answers]), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const resolver = new Resolver({ timeout: 5_000, tries: 1 })
  const impatient = new Resolver({ timeout: 50, tries: 1 })
  for (const one of [resolver, impatient]) one.setServers([`127.0.0.1:${socket.address().port}`])
  return Object.assign(server, { resolver, impatient, close: () => void socket.close() })
}

function answer(type: 'A' | 'PTR' | 'AAAA', value: string, ttl: number): Buffer {
  const address = Buffer.from(parseAddress(value) ?? [])
  const isMapped = type === 'AAAA' && address.length === 4
  const data = type === 'PTR' ? writeName(value) : isMapped ? Buffer.concat([mapped, address]) : address
  const head = Buffer.alloc(12)
  // The name is the question's, at offset 12.
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE({ A: 1, PTR: 12, AAAA: 28 }[type], 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(ttl, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function readName(bytes: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = []
  let at = start
  for (let length = bytes.readUInt8(at); length > 0; length = bytes.readUInt8(at)) {
    labels.push(bytes.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), end: at + 1 }
}

function writeName(name: string): Buffer {
  const labels = name.split('.').filter(label => label !== '')
  return Buffer.concat([
    ...labels.map(label => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')),
    Buffer.of(0),
  ])
}
