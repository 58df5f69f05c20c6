import { createServer } from 'node:http'

// A process that can be killed: `part.ts PORT upstream` says who is asking for what, `part.ts PORT issuer JWKS` has the keys.

const [port, kind, jwks = ''] = process.argv.slice(2)
createServer((request, response) => {
  const { url, headers } = request
  response.setHeader('Content-Type', 'application/json')
  response.end(kind === 'issuer' ? jwks : JSON.stringify({ url, user: headers['x-user'] }))
}).listen(Number(port), '127.0.0.1', () => console.log('ready'))
