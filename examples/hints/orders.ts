import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { listen } from '@bawn/demo/listen'
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose'

// A backend on port 3000 that gives what the gateway's hint says, and nothing without one. It also makes the gateway's key, in made/.

const made = join(import.meta.dirname, 'made')
mkdirSync(made, { recursive: true })
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
writeFileSync(join(made, 'signing.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })

const database = new DatabaseSync(':memory:')
database.exec(`
  CREATE TABLE orders (id INTEGER, region TEXT, owner TEXT, mail TEXT);
  INSERT INTO orders VALUES (1, 'eu', 'ann', 'ann@mail.example'), (2, 'eu', 'bob', 'bob@mail.example'), (3, 'us', 'ann', 'ann@mail.example');
`)

interface Claims extends JWTPayload {
  readonly hints: {
    readonly rows: { readonly where: string; readonly values: Readonly<Record<string, string>> }
    readonly fields: { readonly mail: 'plain' | 'masked' | 'withheld' }
  }
}

const keys = createRemoteJWKSet(new URL('http://127.0.0.1:8080/keys'))

async function answer(token: string): Promise<readonly object[]> {
  const { payload } = await jwtVerify<Claims>(token, keys, { issuer: 'https://gateway.example', audience: 'orders' })
  const { rows, fields } = payload.hints
  const mail = fields.mail === 'withheld' ? 'NULL' : 'mail'
  // SQLite knows @name: the values go beside the text, and are never part of it.
  return database
    .prepare(`SELECT id, owner, ${mail} AS mail FROM orders WHERE (${rows.where}) ORDER BY id`)
    .all(rows.values)
}

const server = createServer((request, response) => {
  answer(request.headers['x-identity']?.toString() ?? '')
    .then(
      body => ({ status: 200, body }),
      () => ({ status: 401, body: { error: 'the gateway has not sent you' } }),
    )
    .then(({ status, body }) => {
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
    })
})
await listen(server, 3000)
console.log('ready: the backend on port 3000')
