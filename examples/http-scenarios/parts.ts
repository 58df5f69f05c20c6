import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { createAuthority } from '@bawn/demo/certificates'
import { listen } from '@bawn/demo/listen'
import { startOpenId } from '@bawn/demo/openid'
import { createRemoteJWKSet, jwtVerify } from 'jose'

// What stands around the gateway: an identity provider on port 9000, a backend on port 3000, and in made/ the certificates and the
// gateway's secret at the provider, new at each start.

const made = join(import.meta.dirname, 'made')
mkdirSync(made, { recursive: true })
const write = (name: string, text: string): void => writeFileSync(join(made, name), text, { mode: 0o600 })

const authority = createAuthority('the example')
write('ca.crt', authority.certificate)
for (const [name, issued] of [
  ['server', authority.issue('localhost', 'server', ['localhost', '127.0.0.1'])],
  ['client', authority.issue('billing-service', 'client')],
] as const) {
  write(`${name}.crt`, issued.certificate)
  write(`${name}.key`, issued.key)
}

const gatewaySecret = randomBytes(24).toString('base64url')
write('gateway.secret', gatewaySecret)
const provider = await startOpenId({
  port: 9000,
  audience: 'orders',
  people: [
    { id: 'alice', secret: 'wonderland', roles: ['staff'] },
    { id: 'bob', secret: 'builder', roles: [] },
    { id: 'gateway', secret: gatewaySecret, roles: [] },
  ],
})

/** Whose credential it is, or `undefined` where it is not good here. The credential itself is not printed. */
async function judge(path: string, authorization: string | undefined): Promise<string | undefined> {
  if (path === '/delegated') {
    const isDora = authorization === `Basic ${Buffer.from('dora:explorer').toString('base64')}`
    return isDora ? 'the password of dora' : undefined
  }
  const token = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1]
  if (token === undefined) return undefined
  try {
    const { payload } = await jwtVerify(token, keys, { issuer: provider.issuer, audience: 'orders' })
    return payload['preferred_username'] === 'gateway' ? 'a token of gateway' : undefined
  } catch {
    return undefined
  }
}
const keys = createRemoteJWKSet(new URL(provider.jwksUrl))

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: object
}

async function answer({ method, url = '/', headers }: IncomingMessage): Promise<Answer> {
  const path = url.split('?', 1)[0] ?? ''
  const credential = await judge(path, headers.authorization)
  const wants = { '/delegated': 'Basic realm="backend"', '/client-and-gateway': 'Bearer', '/gateway': 'Bearer' }[path]
  if (wants !== undefined && credential === undefined) {
    return { status: 401, headers: { 'WWW-Authenticate': wants }, body: { error: 'the backend does not know you' } }
  }
  // Something that is a credential and not good would show as it came.
  const shown = credential === undefined ? {} : { authorization: credential }
  return { status: 200, headers: {}, body: { method, url, headers: { ...headers, ...shown } } }
}

const backend = createServer((request, response) => {
  answer(request).then(({ status, headers, body }) => {
    const text = `${JSON.stringify(body)}\n`
    process.stdout.write(`${status} ${text}`)
    response.writeHead(status, { ...headers, 'Content-Type': 'application/json' }).end(text)
  })
})
await listen(backend, 3000)
console.log(`ready: the backend on port 3000, the provider at ${provider.issuer}`)
