import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAwsSignature } from './aws-sigv4.ts'
import { type AwsSigv4Options, outboundCredentialsOptions } from './option.ts'

function options(more: object): AwsSigv4Options {
  const parsed = outboundCredentialsOptions.parse({
    kind: 'aws-sigv4',
    region: 'us-east-1',
    service: 'service',
    access_key_id: 'env:ID',
    secret_access_key: 'env:KEY',
    ...more,
  })
  assert.ok(parsed.kind === 'aws-sigv4')
  return parsed
}

const suite = {
  'env:ID': 'AKIDEXAMPLE',
  'env:KEY': 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  'env:TOKEN': '6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267',
}
const examples = { 'env:ID': 'AKIAIOSFODNN7EXAMPLE', 'env:KEY': 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const suiteDate = '2015-08-30T12:36:00Z'
const letters = '-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

interface Vector {
  readonly name: string
  readonly method?: string
  readonly target?: string
  readonly head?: string
  readonly body?: string
  readonly token?: boolean
  readonly signed?: string
  readonly signature: string
}

/**
 * AWS's own, from the "aws-sig-v4-test-suite" and its successor in aws-c-auth: those that sign no headers which
 * we leave alone, and whose path is one that HTTP can carry (two of theirs have a bare space or `ሴ` in it).
 */
const vectors: readonly Vector[] = [
  { name: 'get-vanilla', signature: '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31' },
  {
    name: 'post-vanilla',
    method: 'POST',
    signature: '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b',
  },
  {
    name: 'get-unreserved',
    target: `/${letters}`,
    signature: '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f',
  },
  {
    name: 'get-vanilla-query-order-encoded',
    target: '/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1',
    signature: '371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac',
  },
  {
    name: 'get-vanilla-query-order-key-case',
    target: '/?Param2=value2&Param1=value1',
    signature: 'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  },
  {
    name: 'get-vanilla-query-unreserved',
    target: `/?${letters}=${letters}`,
    signature: '9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197',
  },
  {
    name: 'get-vanilla-utf8-query',
    target: '/?%e1%88%b4=bar',
    signature: '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04',
  },
  {
    name: 'get-vanilla-with-session-token',
    token: true,
    signed: 'host;x-amz-date;x-amz-security-token',
    signature: '07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8',
  },
  {
    name: 'post-x-www-form-urlencoded',
    method: 'POST',
    head: 'Content-Type: application/x-www-form-urlencoded\r\nUser-Agent: a\r\n',
    body: 'Param1=value1',
    signed: 'content-type;host;x-amz-date',
    signature: 'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
  },
]

const authorizationOf = (head: string): string => /^Authorization: (.*)\r$/m.exec(head)?.[1] ?? 'none'

for (const { name, method = 'GET', target = '/', head = '', body = '', token, signed, signature } of vectors) {
  test(`as AWS has it: ${name}`, () => {
    const made = createAwsSignature(
      options(token === true ? { session_token: 'env:TOKEN' } : {}),
      () => Date.parse(suiteDate),
      reference => Object.entries(suite).find(([key]) => key === reference)?.[1] ?? '',
    ).sign({ method, host: 'example.amazonaws.com', target, head, body: Buffer.from(body) })
    assert.equal(
      authorizationOf(made.head),
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${signed ?? 'host;x-amz-date'}, Signature=${signature}`,
    )
    assert.match(made.head, /^X-Amz-Date: 20150830T123600Z\r$/m)
  })
}

const s3 = (more: object = {}) =>
  createAwsSignature(
    options({ service: 's3', ...more }),
    () => Date.parse('2013-05-24T00:00:00Z'),
    reference => Object.entries(examples).find(([key]) => key === reference)?.[1] ?? '',
  )

test('as the reference of S3 has it: objects are listed', () => {
  const { head } = s3().sign({
    method: 'GET',
    host: 'examplebucket.s3.amazonaws.com',
    target: '/?max-keys=2&prefix=J',
    head: '',
    body: Buffer.alloc(0),
  })
  assert.match(head, /Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\r$/m)
  assert.match(head, /^X-Amz-Content-Sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r$/m)
})

test('what leaves is spelled in the one way that everybody reads alike', () => {
  const aws = createAwsSignature(options({}), Date.now, () => 'x')
  const rows: readonly (readonly [typeof aws, string, string])[] = [
    [aws, '/a%20b/(c)+d', '/a%20b/(c)+d'],
    [s3(), '/a%20b/(c)+d/%2b', '/a%20b/%28c%29%2Bd/%2B'],
    [aws, '/?a=1+2&b=%7e&c&d[]="', '/?a=1%202&b=~&c&d%5B%5D=%22'],
    [aws, '/?&a=1&&=x&b=2=3&c=%', '/?a=1&b=2%3D3&c=%25'],
    [aws, '/?', '/'],
  ]
  for (const [by, target, exact] of rows) {
    assert.equal(by.sign({ method: 'GET', host: 'a', target, head: '', body: Buffer.alloc(0) }).target, exact)
  }
})

test('what would not be covered is refused, and so is a credential that no header can have', () => {
  const many = `/?${Array.from({ length: 1_001 }, (_, at) => `p${at}`).join('&')}`
  for (const target of ['/?a=%ff', '/?__proto__=1', '/?%5F_proto__=1', '/?a=1&b&%61=2', many]) {
    const sign = () => s3().sign({ method: 'GET', host: 'a', target, head: '', body: Buffer.alloc(0) })
    assert.throws(sign, { code: 'outbound.unsignable' }, target)
  }
  for (const value of ['', 'two\nlines', 'ä']) {
    const made = () => createAwsSignature(options({}), Date.now, () => value)
    assert.throws(made, (error: Error & { code?: string }) => error.code === 'outbound.bad_credentials')
  }
})

test('only S3 over TLS takes a body that nobody looked at, and only with its length', () => {
  const aws = createAwsSignature(options({}), Date.now, () => 'x')
  assert.deepEqual(
    [s3().streams(true, 5), s3().streams(true, undefined), s3().streams(false, 5), aws.streams(true, 5)],
    [true, false, false, false],
  )
})
