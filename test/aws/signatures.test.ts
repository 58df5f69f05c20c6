import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { createAwsSignature } from '../../packages/bawn/src/outbound/aws-sigv4.ts'
import { outboundCredentialsOptions } from '../../packages/bawn/src/outbound/option.ts'
import { installPython } from './install.ts'

// The same requests, signed here and by botocore, which AWS keeps: character by character the same. Requests are as the door hands them on.

interface Row {
  readonly service: string
  readonly method: string
  readonly target: string
  /** Headers, each ended by CRLF; Latin-1. */
  readonly head: string
  readonly body: Buffer
  readonly token: boolean
}

const seed = Number(process.env['BAWN_SEED'] ?? Date.now() % 1_000_000)
let state = seed
/** Mulberry32. */
function random(): number {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}
const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] ?? assert.fail()
const several = (of: readonly string[], most: number): readonly string[] =>
  Array.from({ length: Math.floor(random() * (most + 1)) }, () => pick(of))

const texts = [
  'a',
  'Z',
  '0',
  '-',
  '.',
  '_',
  '~',
  '!',
  '$',
  "'",
  '(',
  ')',
  '*',
  ',',
  ':',
  '@',
  '%20',
  '%2B',
  '%2b',
  '%C3%A4',
  '%e2%82%ac',
  '%F0%9F%94%91',
  '%41',
  '%7E',
  '%25',
]
const inPath = [...texts, '+', '=', '&']
const inQuery = [...texts, '+', '/', '?', '=', '%26', '%3D', '[', ']', '"']
const inValues = ['a', 'B', '1', ' ', '  ', '\t', ',', ';', '=', '"', '\u00c3\u00a4']

function path(): string {
  const segment = (): string => `x${several(inPath, 6).join('')}`
  return `/${Array.from({ length: Math.floor(random() * 4) }, segment).join('/')}${random() < 0.2 ? '/' : ''}`.replace(
    '//',
    '/',
  )
}

function query(): string {
  if (random() < 0.3) return ''
  const part = (): string => {
    const name = `${pick(['a', 'B', 'c-d', 'X-Amz-Foo', 'prefix'])}${several(
      inQuery.filter(one => one !== '='),
      3,
    ).join('')}`
    return random() < 0.2 ? name : `${name}=${several(inQuery, 6).join('')}`
  }
  return `?${Array.from({ length: 1 + Math.floor(random() * 5) }, part).join('&')}`
}

function head(): string {
  const value = (): string => `v${several(inValues, 6).join('')}w`
  const lines: string[] = []
  if (random() < 0.6)
    lines.push(`Content-Type: ${pick(['application/json', 'text/plain; charset=utf-8', 'application/x-amz-json-1.1'])}`)
  if (random() < 0.4) lines.push(`X-Amz-Target: ${value()}`)
  if (random() < 0.4) lines.push(`x-amz-meta-note: ${value()}`)
  if (random() < 0.4) lines.push('Accept: */*', 'User-Agent: someone/1.0', 'X-Request-Id: 7')
  return lines.map(line => `${line}\r\n`).join('')
}

const services = ['s3', 'execute-api', 'es', 'lambda', 'sqs', 'dynamodb', 'sts', 'aoss']
/** What S3 reads in two ways is refused: aws-sigv4.test.ts. */
const hasTwice = (target: string): boolean => {
  const names = target
    .replace(/^[^?]*\??/, '')
    .split('&')
    .map(pair => decodeURIComponent(pair.split('=', 1)[0]?.replaceAll('+', ' ') ?? ''))
  return new Set(names).size < names.length
}
const rows: readonly Row[] = Array.from({ length: 3_000 }, () => {
  const method = pick(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
  const hasBody = /^P/.test(method) && random() < 0.8
  const target = `${path()}${query()}`
  const service = pick(hasTwice(target) ? services.filter(each => each !== 's3') : services)
  return {
    ...{ service, method, target, head: head() },
    body: hasBody ? Buffer.from(several(inValues, 40).join('')) : Buffer.alloc(0),
    token: random() < 0.3,
  }
})

const host = 'abc123.service.eu-central-1.amazonaws.com'
const now = '2026-02-28T23:59:59Z'
const secrets: Readonly<Record<string, string>> = {
  'env:ID': 'AKIDEXAMPLE',
  'env:KEY': 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  'env:TOKEN': 'IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3Q+=',
}
/** What we sign: proxies on the way may change everything else. */
const isSigned = (name: string): boolean => name === 'content-type' || name.startsWith('x-amz-')

test(`3000 requests are signed as botocore signs them (BAWN_SEED=${seed})`, { timeout: 600_000 }, async () => {
  const python = await installPython()
  const ours: string[] = []
  const asked = rows.map(row => {
    const options = outboundCredentialsOptions.parse({
      ...{ kind: 'aws-sigv4', region: 'eu-central-1', service: row.service },
      ...{
        access_key_id: 'env:ID',
        secret_access_key: 'env:KEY',
        ...(row.token ? { session_token: 'env:TOKEN' } : {}),
      },
    })
    assert.ok(options.kind === 'aws-sigv4')
    const signature = createAwsSignature(
      options,
      () => Date.parse(now),
      name => secrets[name] ?? '',
    )
    const made = signature.sign({ ...row, host })
    ours.push(/^Authorization: (.*)\r$/m.exec(made.head)?.[1] ?? 'none')
    const given = made.head
      .split('\r\n')
      .map(line => /^([^:]+): (.*)$/.exec(line))
      .flatMap(found => (found === null ? [] : [[found[1]?.toLowerCase() ?? '', found[2] ?? ''] as const]))
      .filter(([name]) => isSigned(name) && name !== 'x-amz-date' && name !== 'x-amz-security-token')
    return {
      ...{ now: now.replace('Z', '+00:00'), id: secrets['env:ID'], secret: secrets['env:KEY'], region: 'eu-central-1' },
      ...{
        service: row.service,
        method: row.method,
        url: `https://${host}${made.target}`,
        body: row.body.toString('hex'),
      },
      headers: Object.fromEntries(given),
      token: row.token ? secrets['env:TOKEN'] : undefined,
    }
  })
  const input = asked.map(each => `${JSON.stringify(each)}\n`).join('')
  const oracle = [join(import.meta.dirname, 'oracle.py')]
  const { stdout: said, status } = spawnSync(python, oracle, {
    input,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  assert.equal(status, 0)
  const theirs = said.trimEnd().split('\n')
  assert.equal(theirs.length, rows.length)
  const different = rows.flatMap((row, at) =>
    ours[at] === theirs[at]
      ? []
      : [{ ...row, body: row.body.toString(), sent: asked[at]?.url, ours: ours[at], theirs: theirs[at] }],
  )
  assert.deepEqual(different.slice(0, 5), [], `${different.length} differ`)
})
