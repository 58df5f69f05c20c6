import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { startOpenId } from '@bawn/demo/openid'
import type { IssuerFile } from './issuer.ts'

// A process that can be killed. `part.ts upstream PORT PEOPLE` says who is asking for what, and has people; `part.ts issuer PORT FILE` is an
// OpenID provider with the keys of that file, which it reads again at SIGHUP.

const [kind, port, path = ''] = process.argv.slice(2)
const readJson = (): unknown => JSON.parse(readFileSync(path, 'utf8'))

if (kind === 'issuer') {
  const { people, keys, tokenLifetimeSeconds } = readJson() as IssuerFile
  const provider = await startOpenId({ port: Number(port), audience: 'shop', people, keys, tokenLifetimeSeconds })
  process.on('SIGHUP', () => {
    provider.exchangeKeys((readJson() as IssuerFile).keys)
    console.log('keys exchanged')
  })
  console.log('ready')
} else {
  const people = readJson() as Readonly<Record<string, unknown>>
  createServer(({ url = '', headers }, response) => {
    response.setHeader('Content-Type', 'application/json')
    const person = url.startsWith('/people/') ? people[url.slice('/people/'.length)] : undefined
    response.end(JSON.stringify(person ?? { url, user: headers['x-user'] }))
  }).listen(Number(port), '127.0.0.1', () => console.log('ready'))
}
