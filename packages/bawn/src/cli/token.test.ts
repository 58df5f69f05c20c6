import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { run } from './main.ts'

let status = 200
let answer = ''
const asked: { authorization: string | undefined; body: string }[] = []
const server = createServer((request, response) => {
  let body = ''
  request.on('data', piece => {
    body += piece
  })
  request.on('end', () => {
    asked.push({ authorization: request.headers.authorization, body })
    response.writeHead(status, { 'Content-Type': 'application/json', Connection: 'close' }).end(answer)
  })
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`
after(() => new Promise(resolve => server.close(resolve)))

async function bawn(args: readonly string[], stdin = '', env: NodeJS.ProcessEnv = {}) {
  let out = ''
  let err = ''
  const code = await run(args, {
    stdin: Readable.from(stdin === '' ? [] : [Buffer.from(stdin)]),
    out: text => {
      out += text
    },
    err: text => {
      err += text
    },
    env,
    cwd: '/',
    now: () => 0,
  })
  return { code, out, err }
}

test('client credentials: the token, and nothing else, is printed', async () => {
  status = 200
  answer = '{"access_token":"a.b.c","token_type":"Bearer"}'
  assert.deepEqual(await bawn(['token', '--url', url, '--client', 'al ice'], 's3:cret\n'), {
    code: 0,
    out: 'a.b.c\n',
    err: '',
  })
  assert.deepEqual(asked.at(-1), {
    authorization: `Basic ${Buffer.from('al+ice:s3%3Acret').toString('base64')}`,
    body: 'grant_type=client_credentials',
  })
})

test('the password grant takes its secrets from references', async () => {
  answer = '{"access_token":"d"}'
  const args = [
    'token',
    '--url',
    url,
    '--client',
    'shop',
    '--secret',
    'env:S',
    '--user',
    'olga',
    '--password',
    'env:P',
    '--scope',
    'x',
  ]
  const result = await bawn(args, '', { S: 's', P: 'p&q' })
  assert.equal(result.out, 'd\n')
  assert.equal(asked.at(-1)?.body, 'grant_type=password&username=olga&password=p%26q&scope=x')
})

const failures = [
  [
    'a refusal',
    401,
    '{"error":"invalid_client","error_description":"stranger text"}',
    /no token \(401: invalid_client\)/,
  ],
  ['an error that is no code', 400, '{"error":"<b>stranger text"}', /no token \(400\)/],
  ['no JSON', 200, 'stranger text', /no token \(200\)/],
  ['a token that is none', 200, '{"access_token":"a\\nb"}', /no token \(200\)/],
  ['a redirect', 302, '', /does not answer/],
] as const
for (const [name, code, body, says] of failures) {
  test(`${name} fails without repeating what a stranger says`, async () => {
    status = code
    answer = body
    const result = await bawn(['token', '--url', url, '--client', 'c'], 's\n')
    assert.equal(result.code, 1)
    assert.match(result.err, says)
    assert.doesNotMatch(result.err, /stranger text/)
  })
}

test('nobody there, and a URL that is none', async () => {
  const gone = await bawn(['token', '--url', 'http://127.0.0.1:1/', '--client', 'c'], 's\n')
  assert.equal(gone.code, 1)
  assert.match(gone.err, /cli\.failed: http:\/\/127\.0\.0\.1:1 does not answer/)
  assert.equal((await bawn(['token', '--url', 'file:///x', '--client', 'c'], 's\n')).code, 2)
})
