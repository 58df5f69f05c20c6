import { bad, denied, get, hidden, type Payload, post } from './payload.ts'

// Where a body ends: Content-Length, Transfer-Encoding, and chunks (RFC 9112 sections 6 and 7).

const te = (value: string, name = 'Transfer-Encoding'): string => `${name}:${value}\r\n`
const body = `0\r\n\r\n${hidden}`
const length = `Content-Length: ${body.length}\r\n`
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`
const passed = ['POST / abc']

/** A length that covers the hidden request, and a coding that does not: whoever sees only one of the two is alone with it. */
const codings: readonly (readonly [string, string])[] = [
  ['chunked', te(' chunked')],
  ['capitals', te(' CHUNKED')],
  ['a name in capitals', te(' chunked', 'TRANSFER-ENCODING')],
  ['a name in small letters', te(' chunked', 'transfer-encoding')],
  ['no space', te('chunked')],
  ['a tab before the value', te('\tchunked')],
  ['a tab behind the value', te(' chunked\t')],
  ['blanks on both sides', te('  \t chunked \t ')],
  ['a vertical tab before', te(' \x0bchunked')],
  ['a vertical tab behind', te(' chunked\x0b')],
  ['a form feed', te(' \x0cchunked')],
  ['NUL behind', te(' chunked\0')],
  ['a no-break space', te(' \xa0chunked')],
  ['single quotes', te(" 'chunked'")],
  ['double quotes', te(' "chunked"')],
  ['a comma before', te(' ,chunked')],
  ['a comma behind', te(' chunked,')],
  ['chunked, identity', te(' chunked, identity')],
  ['identity, chunked', te(' identity, chunked')],
  ['gzip, chunked', te(' gzip, chunked')],
  ['chunked, gzip', te(' chunked, gzip')],
  ['chunked twice in a list', te(' chunked, chunked')],
  ['xchunked', te(' xchunked')],
  ['chunkedx', te(' chunkedx')],
  ['chunk', te(' chunk')],
  ['identity', te(' identity')],
  ['nothing', te('')],
  ['a parameter', te(' chunked;q=1')],
  ['two words', te(' x chunked')],
  ['a plus sign', te(' +chunked')],
  ['a full-width letter', te(' \xef\xbd\x83hunked')],
  ['the long s in UTF-8', te(' chunked', 'Tran\xc5\xbffer-Encoding')],
  ['a space before the colon', te(' chunked', 'Transfer-Encoding ')],
  ['a tab before the colon', te(' chunked', 'Transfer-Encoding\t')],
  ['NUL in the name', te(' chunked', 'Transfer-Encoding\0')],
  ['a CR in the name', te(' chunked', '\rTransfer-Encoding')],
  ['a space before the name', te(' chunked', ' Transfer-Encoding')],
  ['folded', te('\r\n chunked')],
  ['folded with a tab', te('\r\n\tchunked')],
  ['folded behind another header', `X: y\r\n ${te(' chunked')}`],
  ['behind a bare LF', `X: y\n${te(' chunked')}`],
  ['behind a bare CR', `X: y\r${te(' chunked')}`],
  ['behind LF CR', `X: y\n\r${te(' chunked')}`],
  ['twice', te(' chunked') + te(' chunked')],
  ['first another', te(' identity') + te(' chunked')],
  ['then another', te(' chunked') + te(' x')],
  ['then an empty one', te(' chunked') + te('')],
]

/** Not a Transfer-Encoding for anybody who goes by the standard; header names with these characters go no further than here. */
const otherNames: readonly (readonly [string, string])[] = [
  ['an underscore in the name', te(' chunked', 'Transfer_Encoding')],
  ['a dot in the name', te(' chunked', 'Transfer.Encoding')],
  ['a colon too many', ': chunked\r\n'],
  ['an X before the name', te(' chunked', 'X-Transfer-Encoding')],
]

const lengths: readonly (readonly [string, string])[] = [
  ['two that differ', 'Content-Length: 3\r\nContent-Length: 0\r\n'],
  ['two alike', 'Content-Length: 3\r\nContent-Length: 3\r\n'],
  ['a list of two alike', 'Content-Length: 3, 3\r\n'],
  ['a list of two that differ', 'Content-Length: 0, 3\r\n'],
  ['a plus sign', 'Content-Length: +3\r\n'],
  ['a minus sign', 'Content-Length: -3\r\n'],
  ['hexadecimal', 'Content-Length: 0x3\r\n'],
  ['octal', 'Content-Length: 0o3\r\n'],
  ['an exponent', 'Content-Length: 3e0\r\n'],
  ['a fraction', 'Content-Length: 3.0\r\n'],
  ['an underscore', 'Content-Length: 0_3\r\n'],
  ['quotes', 'Content-Length: "3"\r\n'],
  ['a space inside', 'Content-Length: 0 3\r\n'],
  ['a tab inside', 'Content-Length: 0\t3\r\n'],
  ['a vertical tab', 'Content-Length: \x0b3\r\n'],
  ['NUL behind', 'Content-Length: 3\0\r\n'],
  ['a semicolon', 'Content-Length: 3;x\r\n'],
  ['a letter behind', 'Content-Length: 3a\r\n'],
  ['nothing', 'Content-Length:\r\n'],
  ['only blanks', 'Content-Length: \t \r\n'],
  ['more than 64 bits', 'Content-Length: 18446744073709551619\r\n'],
  ['just over 63 bits', 'Content-Length: 9223372036854775808\r\n'],
  ['digits of another script', 'Content-Length: \xd9\xa3\r\n'],
  ['a space before the colon', 'Content-Length : 3\r\n'],
  ['folded', 'Content-Length:\r\n 3\r\n'],
  ['folded in two', 'Content-Length: 0\r\n 3\r\n'],
  ['behind a bare LF', 'X: y\nContent-Length: 3\r\n'],
  ['behind a bare CR', 'X: y\rContent-Length: 3\r\n'],
]

const sizes: readonly (readonly [string, string])[] = [
  ['0x', '0x3\r\nabc\r\n'],
  ['a plus sign', '+3\r\nabc\r\n'],
  ['a minus sign', '-3\r\nabc\r\n'],
  ['an underscore', '0_3\r\nabc\r\n'],
  ['a space before', ' 3\r\nabc\r\n'],
  ['a space behind', '3 \r\nabc\r\n'],
  ['a tab behind', '3\t\r\nabc\r\n'],
  ['a vertical tab behind', '3\x0b\r\nabc\r\n'],
  ['NUL behind', '3\0\r\nabc\r\n'],
  ['nothing', '\r\nabc\r\n'],
  ['no digit', 'g\r\nabc\r\n'],
  ['a letter behind', '3g\r\nabc\r\n'],
  ['more than 64 bits', '10000000000000003\r\nabc\r\n'],
  ['just over 32 bits and a sign', '-fffffffd\r\nabc\r\n'],
  ['a bare LF behind', '3\nabc\r\n'],
  ['a bare CR behind', '3\rabc\r\n'],
  ['CR CR LF', '3\r\r\nabc\r\n'],
  ['a bare LF behind the data', '3\r\nabc\n'],
  ['a bare CR behind the data', '3\r\nabc\r'],
  ['data longer than said', '2\r\nabc\r\n'],
  ['nothing behind the data', '3\r\nabc'],
  ['two characters that are no line end', '3\r\nabcxx'],
  ['an extension with a bare LF', `3;a\nabc\r\n`],
  ['an extension with a bare CR', '3;a\rb\r\nabc\r\n'],
  ['a quoted extension with a line end', '3;a="\r\n"\r\nabc\r\n'],
  ['a quoted extension with a bare LF', '3;a="\n"\r\nabc\r\n'],
  ['an extension with NUL', '3;a=\0\r\nabc\r\n'],
  ['a bare semicolon and a bare LF', '3;\nabc\r\n'],
  ['an equals sign and no name', '3=a\r\nabc\r\n'],
  ['a comma', '3,1\r\nabc\r\n'],
]

const ends: readonly (readonly [string, string])[] = [
  ['a trailer that is folded', '0\r\nX: y\r\n z\r\n\r\n'],
  ['a trailer with a bare LF', '0\r\nX: y\n\r\n'],
  ['a trailer with a bare CR', '0\r\nX: y\rZ: z\r\n\r\n'],
  ['a trailer without a name', '0\r\n: y\r\n\r\n'],
  ['a trailer without a colon', '0\r\nGET /admin HTTP/1.1\r\n\r\n'],
  ['an end with a bare LF', '0\n\r\n'],
  ['an end with two bare LFs', '0\n\n'],
  ['zero with an extension that ends in LF', '0;a\n\r\n'],
]

const last = '0\r\n\r\n'

export const framing: readonly Payload[] = [
  ...codings.map(([name, line]) => ({
    name: `CL.TE, ${name}`,
    text: `${post}${length}${line}\r\n${body}`,
    outcome: bad,
  })),
  ...codings.map(([name, line]) => ({
    name: `TE.CL, ${name}`,
    text: `${post}${line}Content-Length: 4\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n${last}`,
    outcome: bad,
  })),
  ...otherNames.map(([name, line]) => ({
    name: `CL.TE, ${name}`,
    text: `${post}${length}${line}\r\n${body}`,
    ...(name.startsWith('a colon')
      ? { outcome: bad }
      : { outcome: [`POST / ${body}`], because: 'a name that nobody knows; of odd characters it goes no further' }),
  })),
  ...lengths.map(([name, line]) => ({
    name: `Content-Length, ${name}`,
    text: `${post}${line}\r\nabc${hidden}`,
    outcome: bad,
  })),
  ...sizes.map(([name, text]) => ({
    name: `chunk size, ${name}`,
    text: `${chunked}${text}${last}${hidden}`,
    outcome: bad,
  })),
  ...ends.map(([name, text]) => ({
    name: `end of chunks, ${name}`,
    text: `${chunked}3\r\nabc\r\n${text}${hidden}`,
    outcome: bad,
  })),
  { name: 'chunk size, leading zeros', text: `${chunked}0000003\r\nabc\r\n${last}`, outcome: passed },
  { name: 'chunk size, capitals', text: `${chunked}A\r\n0123456789\r\n${last}`, outcome: ['POST / 0123456789'] },
  { name: 'chunk extension', text: `${chunked}3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n`, outcome: passed },
  {
    name: 'trailers with a length',
    text: `${chunked}3\r\nabc\r\n0\r\nContent-Length: 99\r\nX-User: root\r\n\r\n`,
    outcome: bad,
  },
  { name: 'trailers', text: `${chunked}3\r\nabc\r\n0\r\nHost: b\r\nX-User: root\r\n\r\n`, outcome: passed },
  { name: 'several zeros for an end', text: `${chunked}3\r\nabc\r\n000\r\n\r\n`, outcome: passed },
  { name: 'leading zeros of a length', text: `${post}Content-Length: 0003\r\n\r\nabc`, outcome: passed },
  { name: 'spaces round a length', text: `${post}Content-Length:   3  \r\n\r\nabc`, outcome: passed },
  {
    name: 'tabs round a length',
    text: `${post}Content-Length:\t3\t\r\n\r\nabc`,
    outcome: bad,
    because: 'node:http in front takes tabs for blanks, as RFC 9112 section 5.1 does',
    nodeHttp: { answers: ['ok', denied], seen: passed },
  },
  { name: 'CL.0', text: `${post}Content-Length: ${hidden.length}\r\n\r\n${hidden}`, outcome: [`POST / ${hidden}`] },
  {
    name: 'CL.0 of GET',
    text: `${get}Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
    outcome: [`GET / ${hidden}`],
  },
  {
    name: 'TE.0',
    text: `${chunked}${hidden.length.toString(16)}\r\n${hidden}\r\n${last}`,
    outcome: [`POST / ${hidden}`],
  },
  {
    name: 'TE.0 of GET',
    text: `${get}Transfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n${last}`,
    outcome: [`GET / ${hidden}`],
  },
  {
    name: 'TE.0 of OPTIONS',
    text: `OPTIONS / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n${last}`,
    outcome: [`OPTIONS / ${hidden}`],
  },
  {
    name: 'CL.0 of DELETE',
    text: `DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    outcome: [`DELETE / ${hidden}`],
  },
  {
    name: 'CL.0 of HEAD',
    text: `HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    outcome: [`HEAD / ${hidden}`],
  },
  {
    name: '0.CL: less than was promised',
    text: `${post}Content-Length: 1000\r\n\r\n${hidden}`,
    outcome: bad,
    open: true,
  },
  {
    name: 'less of a chunk than was promised',
    text: `${chunked}3e8\r\n${hidden}`,
    outcome: bad,
    open: true,
  },
  { name: 'chunks without an end', text: `${chunked}3\r\nabc\r\n`, outcome: bad, open: true },
  { name: 'chunked without a body', text: chunked, outcome: bad, open: true },
  { name: 'a length and no body', text: `${post}Content-Length: 3\r\n\r\n`, outcome: bad, open: true },
  {
    name: 'chunked in HTTP/1.0',
    text: `POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${body}`,
    outcome: bad,
  },
  {
    name: 'no length at all',
    text: `${post}\r\nabc${hidden}`,
    because: 'what stands behind is looked at after the answer; node:http looks before',
    outcome: ['POST / '],
    answers: ['ok', bad],
    nodeHttp: { answers: [bad], seen: 'perhaps' },
  },
]
