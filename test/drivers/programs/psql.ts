import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { serve } from './lines.ts'

// psql: node psql.ts [folders with another libpq] [its version]

const [, , libraries, libpq] = process.argv

await serve(`${await psqlVersion()}${libpq === undefined ? '' : ` over ${libpq}`}`, async login => {
  const settings = [
    ['host', login['host']],
    ['port', login['port']],
    ['dbname', login['database']],
    ['user', login['user']],
    ['password', login['password']],
    ['sslmode', login['tls'] === 'off' ? 'disable' : login['tls']],
    ['sslrootcert', login['ca']],
    ['sslcert', login['certificate']],
    ['sslkey', login['key']],
    ['channel_binding', login['binding']],
    ['sslnegotiation', login['negotiation']],
    ['oauth_issuer', login['issuer']],
    ['oauth_client_id', login['issuer'] && 'psql'],
    ['connect_timeout', '10'],
  ].flatMap(([name, value = '']) => (value === '' ? [] : `${name}='${value.replaceAll(/['\\]/g, '\\$&')}'`))
  const { status, out, err } = await psql(
    ['-XAtqw', '-v', 'ON_ERROR_STOP=1', '-v', `said=${login['said']}`, settings.join(' ')],
    // Before version 16 psql has no other parameters than those of EXECUTE.
    `prepare one(text, int) as select current_user::text, $1, $2 + 1; execute one(:'said', 41);`,
  )
  if (status !== 0) return { error: err.replaceAll(/\s+/g, ' ').trim() }
  const [who, said, next] = out.trimEnd().split('|')
  return { who, said, next }
})

async function psqlVersion(): Promise<string> {
  const { out } = await psql(['--version'], '')
  return `psql ${/[0-9]+\.[0-9]+/.exec(out)?.[0]}`
}

async function psql(args: readonly string[], input: string) {
  const child = spawn('psql', args, {
    env: { ...process.env, ...(libraries === undefined ? {} : { LD_LIBRARY_PATH: libraries }) },
  })
  child.stdin.on('error', () => {}).end(input)
  const [out, err, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { out, err, status: Number(status) }
}
