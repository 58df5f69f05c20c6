import {
  block,
  endHeaders,
  endStream,
  frame,
  headOf,
  types,
} from '../../packages/bawn/src/http/http2-frames.fixture.ts'
import { hidden } from './payload.ts'

/** Frames that somebody may make another request of, who says them again in HTTP/1.1. All on stream 1. */
export interface Http2Payload {
  readonly name: string
  readonly frames: readonly Buffer[]
  /** What the server behind may see: `METHOD target body`. `undefined`: nothing. */
  readonly may?: string
  /** It has to: it is lawful. */
  readonly must?: true
}

const whole = endHeaders | endStream
const head = (lines: Buffer, flags = whole): Buffer => frame(types.headers, flags, 1, lines)
const data = (text: string, flags = endStream): Buffer => frame(types.data, flags, 1, Buffer.from(text, 'latin1'))
const pseudo = (changes: Readonly<Record<string, string | undefined>>, ...more: readonly string[]): Buffer => {
  const all = { ':method': 'GET', ':scheme': 'https', ':authority': 'gate.example', ':path': '/', ...changes }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [name, value]))
  return block(...lines, ...more)
}
const smuggled = `a\r\n\r\n${hidden}`

/** Headers that make a request of HTTP/2 malformed (RFC 9113 section 8.2), or that a server behind would go by. */
const headers: readonly (readonly [name: string, value: string])[] = [
  ['transfer-encoding', 'chunked'],
  ['transfer-encoding', 'identity'],
  ['connection', 'close'],
  ['connection', 'content-length'],
  ['keep-alive', 'timeout=5'],
  ['proxy-connection', 'keep-alive'],
  ['upgrade', 'h2c'],
  ['http2-settings', 'AAMAAABkAARAAAAAAAIAAAAA'],
  ['te', 'gzip'],
  ['host', 'elsewhere.example'],
  ['content-length', '5'],
  ['content-length', '+0'],
  ['content-length', '0, 5'],
]
/** nghttp2 may leave out a line that no header may be, as if it had not come: then the request is what it says without it. */
const lines: readonly (readonly [what: string, name: string, value: string])[] = [
  ['a name in capitals', 'X-Upper', 'y'],
  ['Transfer-Encoding in capitals', 'Transfer-Encoding', 'chunked'],
  ['a name with a space', 'x y', 'z'],
  ['a name with a colon', 'x:y', 'z'],
  ['a name with CR LF', 'x: y\r\ntransfer-encoding', 'chunked'],
  ['a name with a request', `x: y\r\n\r\n${hidden}x`, 'y'],
  ['an empty name', '', 'y'],
  ['a name with NUL', 'x\0y', 'z'],
  ['a name with a high byte', 'x\xff', 'z'],
  ['a value with CR LF', 'x', 'y\r\ntransfer-encoding: chunked'],
  ['a value with a request', 'x', smuggled],
  ['a value with LF', 'x', `y\n\n${hidden}`],
  ['a value with CR', 'x', 'y\rz'],
  ['a value with NUL', 'x', 'y\0z'],
  ['a value with a space before', 'x', ' y'],
  ['a value with a tab behind', 'x', 'y\t'],
  ['a value with a byte of 0x7f', 'x', 'y\x7f'],
  ['a cookie with CR LF', 'cookie', `a=b\r\n\r\n${hidden}`],
  ['a length with CR LF', 'content-length', '0\r\ntransfer-encoding: chunked'],
  ['an underline for a hyphen', 'transfer_encoding', 'chunked'],
  ['an underline in the length', 'content_length', '5'],
]

const paths = [
  '',
  'admin',
  ' /',
  '/ /admin',
  '*',
  'http://gate.example/admin',
  'https://gate.example/x',
  '//admin',
  '/x/../admin',
  '/%2e%2e/admin',
]
const pathsWithLines = [
  '/ HTTP/1.1\r\nHost: a\r\n\r\nGET /admin',
  '/\n',
  '/\r',
  '/\0',
  '/\t',
  '/\xff',
  '/x#/admin',
  '/x;/../admin',
  '/admin%2f',
]
const methods = [
  '',
  'GET ',
  'get',
  'GET / HTTP/1.1\r\nHost: a\r\n\r\nGET',
  'GET\tX',
  'CONNECT',
  'TRACE',
  'PRI',
  'SMUGGLE',
]
const schemes = ['http', 'HTTPS://', 'ftp', '', 'https\r\nx: y']
const authorities = [
  '',
  'a b',
  'user@gate.example',
  'a/b',
  'a?b',
  'a\r\nx: y',
  `a\r\n\r\n${hidden}`,
  'a, b',
  'a:99999999',
]

const of = (kind: string, key: string, values: readonly string[]): readonly Http2Payload[] =>
  values.map(value => ({ name: `${kind} ${JSON.stringify(value)}`, frames: [head(pseudo({ [key]: value }))] }))

const post = headOf('POST', '/')
const trailers = (...more: readonly string[]): readonly Buffer[] => [
  head(post, endHeaders),
  data('abc', 0),
  frame(types.headers, whole, 1, block(...more)),
]
const continuations = (count: number, each: Buffer): readonly Buffer[] => [
  head(headOf('GET', '/'), endStream),
  ...Array.from({ length: count }, () => frame(types.continuation, 0, 1, each)),
  frame(types.continuation, endHeaders, 1),
]

export const payloads: readonly Http2Payload[] = [
  { name: 'a request', frames: [head(headOf('GET', '/?plain'))], may: 'GET /?plain ', must: true },
  {
    name: 'a body that is a request',
    frames: [head(headOf('POST', '/?body'), endHeaders), data(hidden)],
    ...{ may: `POST /?body ${hidden}`, must: true },
  },
  {
    name: 'a body of a GET that is a request',
    frames: [head(headOf('GET', '/?body'), endHeaders), data(hidden)],
    ...{ may: `GET /?body ${hidden}`, must: true },
  },
  {
    name: 'a body that looks chunked',
    frames: [head(headOf('POST', '/?chunks'), endHeaders), data(`0\r\n\r\n${hidden}`)],
    ...{ may: `POST /?chunks 0\r\n\r\n${hidden}`, must: true },
  },
  {
    name: 'Host that says the same',
    frames: [head(headOf('GET', '/?host', 'host', 'gate.example'))],
    ...{ may: 'GET /?host ', must: true },
  },
  {
    name: 'crumbs of a cookie',
    frames: [head(headOf('GET', '/?crumbs', 'cookie', 'a=b', 'cookie', 'c=d'))],
    ...{ may: 'GET /?crumbs ', must: true },
  },
  ...headers.map(
    ([name, value]): Http2Payload => ({ name: `${name}: ${value}`, frames: [head(headOf('GET', '/', name, value))] }),
  ),
  ...headers.map(
    ([name, value]): Http2Payload => ({
      name: `${name}: ${value}, with a body`,
      frames: [head(headOf('POST', '/?lie', name, value), endHeaders), data(hidden)],
    }),
  ),
  ...lines.map(
    ([what, name, value]): Http2Payload => ({
      ...{ name: what, frames: [head(headOf('GET', '/?line', name, value))], may: 'GET /?line ' },
    }),
  ),
  {
    name: 'a length that is too short',
    frames: [head(headOf('POST', '/', 'content-length', '1'), endHeaders), data(`0${hidden}`)],
  },
  {
    name: 'a length that is too long',
    frames: [head(headOf('POST', '/', 'content-length', '500'), endHeaders), data(hidden)],
  },
  {
    name: 'two lengths',
    frames: [head(headOf('POST', '/', 'content-length', '3', 'content-length', '0'), endHeaders), data('abc')],
  },
  { name: 'two Hosts', frames: [head(headOf('GET', '/', 'host', 'gate.example', 'host', 'gate.example'))] },
  ...of('path', ':path', [...paths, ...pathsWithLines]),
  ...of('method', ':method', methods),
  ...of('scheme', ':scheme', schemes),
  ...of('authority', ':authority', authorities),
  ...[':method', ':scheme', ':path'].map(
    (key): Http2Payload => ({ name: `no ${key}`, frames: [head(pseudo({ [key]: undefined }))] }),
  ),
  { name: 'neither authority nor Host', frames: [head(pseudo({ ':authority': undefined }))] },
  {
    name: 'Host in place of the authority',
    frames: [head(pseudo({ ':authority': undefined, ':path': '/?only-host' }, 'host', 'gate.example'))],
    ...{ may: 'GET /?only-host ', must: true },
  },
  ...[':method', ':scheme', ':authority', ':path'].map(
    (key): Http2Payload => ({
      name: `${key} twice`,
      frames: [head(pseudo({}, key, key === ':path' ? '/admin' : 'GET'))],
    }),
  ),
  {
    name: 'a pseudo-header behind a header',
    frames: [head(block('x', 'y', ':method', 'GET', ':scheme', 'https', ':authority', 'a', ':path', '/'))],
  },
  { name: 'a pseudo-header of answers', frames: [head(pseudo({}, ':status', '200'))] },
  { name: 'a pseudo-header that nobody knows', frames: [head(pseudo({ ':admin': 'yes' }))] },
  { name: 'extended CONNECT', frames: [head(pseudo({ ':method': 'CONNECT', ':protocol': 'websocket' }), endHeaders)] },
  { name: ':protocol of a GET', frames: [head(pseudo({ ':protocol': 'websocket' }))] },
  { name: 'CONNECT', frames: [head(block(':method', 'CONNECT', ':authority', 'a:443'), endHeaders), data(hidden)] },
  ...(
    [
      ['transfer-encoding', 'chunked'],
      ['content-length', '0'],
      ['host', 'elsewhere.example'],
      ['connection', 'close'],
      [':path', '/admin'],
      ['X-Upper', 'y'],
      ['x', smuggled],
      ['authorization', 'Basic YTpi'],
      ['x-request-id', 'mine'],
    ] as const
  ).map(
    (trailer): Http2Payload => ({ name: `trailer ${trailer[0]}`, frames: trailers(...trailer), may: 'POST / abc' }),
  ),
  {
    name: 'trailers that do not end',
    frames: [head(post, endHeaders), data('abc', 0), frame(types.headers, endHeaders, 1, block('x', 'y'))],
  },
  { name: 'ten empty CONTINUATIONs', frames: continuations(10, Buffer.alloc(0)), may: 'GET / ' },
  { name: 'ten thousand empty CONTINUATIONs', frames: continuations(10_000, Buffer.alloc(0)) },
  { name: 'CONTINUATIONs that make a head too large', frames: continuations(50, block('x', 'y'.repeat(2_000))) },
  { name: 'a CONTINUATION of nothing', frames: [frame(types.continuation, endHeaders, 1, headOf('GET', '/admin'))] },
  {
    name: 'HEADERS amid CONTINUATIONs',
    frames: [head(headOf('GET', '/'), endStream), frame(types.headers, whole, 3, headOf('GET', '/admin'))],
  },
  { name: 'DATA before HEADERS', frames: [data(hidden)] },
  { name: 'an even stream', frames: [frame(types.headers, whole, 2, headOf('GET', '/'))] },
  {
    name: 'a pushed request',
    frames: [frame(types.push, endHeaders, 1, Buffer.concat([Buffer.of(0, 0, 0, 2), headOf('GET', '/')]))],
  },
  { name: 'HTTP/1.1 amid frames', frames: [Buffer.from(hidden)] },
]
