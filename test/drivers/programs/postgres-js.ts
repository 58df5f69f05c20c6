import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { type Login, serve } from './lines.ts'

// Its package.json is not among what it exports.
const package_ = join(dirname(fileURLToPath(import.meta.resolve('postgres'))), '../package.json')
const { version }: { readonly version: string } = JSON.parse(readFileSync(package_, 'utf8'))

await serve(`postgres.js ${version}, Node ${process.versions.node}`, async login => {
  if (login['binding'] === 'require') return { cannot: 'no option for channel binding' }
  const sql = postgres({
    host: login['host'] ?? '',
    port: Number(login['port']),
    database: login['database'] ?? '',
    user: login['user'] ?? '',
    ...(login['password'] === undefined ? {} : { password: login['password'] }),
    ssl: tls(login),
    ...direct(login),
    max: 1,
    connect_timeout: 10,
    onnotice: () => {},
  })
  try {
    const rows =
      await sql`select current_user::text as who, ${login['said'] ?? ''}::text as said, ${41}::int + 1 as next`
    return { ...rows[0] }
  } finally {
    await sql.end({ timeout: 5 })
  }
})

function tls(login: Login): false | 'require' | object {
  if (login['tls'] === 'off') return false
  if (login['tls'] === 'require') return 'require'
  const read = (path: string | undefined): string | undefined => path && readFileSync(path, 'utf8')
  return { ca: read(login['ca']), cert: read(login['certificate']), key: read(login['key']) }
}

/** Its types do not have it yet. */
function direct(login: Login): object {
  return login['negotiation'] === 'direct' ? { sslnegotiation: 'direct' } : {}
}
