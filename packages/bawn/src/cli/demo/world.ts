import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { importPublicKey, sealAcraStruct } from '@bawn/envelope'
import type { ClientConfig } from 'pg'
import { CliError } from '../error.ts'
import { clientId, demoConfiguration, type Ports } from './configuration.ts'
import { type GatewayProcess, startGateway } from './gateway.ts'
import type { Place } from './place.ts'
import { fillTable, type Login, prepareDatabase } from './table.ts'

const run = promisify(execFile)

export interface WorldOptions {
  readonly place: Place
  /** Of the three doors; what is undefined or taken gets a free one. Only at the first start in a folder. */
  readonly ports: Partial<Pick<Ports, 'web' | 'sql' | 'desk'>>
  /** How this program was started: Node and the entry file. */
  readonly bawn: readonly [string, ...string[]]
  readonly say: (line: string) => void
  /** Further lines for the configuration. */
  readonly more?: string
}

/** Everything the demo runs on, up and filled. */
export interface World {
  readonly ports: Ports
  /** Owner of the database, at PostgreSQL itself. */
  readonly owner: Login
  /** At the PostgreSQL door, by certificate: sees the field plain. */
  readonly billing: ClientConfig
  readonly gateway: GatewayProcess
  /** Starts the gateway again after it was killed. */
  restartGateway(): Promise<GatewayProcess>
  /** A shell file that sets the variables of the tour. */
  readonly envFile: string
  stop(): Promise<void>
}

const people = [
  { id: 'alice', roles: ['support'] },
  { id: 'billing', roles: ['billing'] },
  { id: 'carol', roles: ['visitor'] },
] as const

/** Starts PostgreSQL, the OpenID provider, the shop API and the gateway; makes at the first start whatever they need. */
export async function startWorld(options: WorldOptions): Promise<World> {
  const { place, say } = options
  const { startPostgres } = await import('@bawn/demo/postgres')
  const { startOpenId } = await import('@bawn/demo/openid')
  const { startShop } = await import('@bawn/demo/shop')
  const parts: { stop(): Promise<void> }[] = []
  const stop = async () => {
    for (const part of parts.splice(0).reverse()) await part.stop()
  }
  try {
    const ports = await choosePorts(place, options.ports)
    await prepareFiles(options, ports)

    say('PostgreSQL 18')
    const postgres = await startPostgres({
      database: 'shop',
      port: ports.postgres,
      ...(place.temporary ? {} : { dataDirectory: place.path('postgres'), password: place.read('postgres.password') }),
    })
    parts.push(postgres)
    const passwords = { gateway: place.read('gateway.password'), shop_app: place.read('shop.password') }
    await prepareDatabase(postgres, passwords)

    say('OpenID provider')
    const provider = await startOpenId({
      audience: 'shop',
      port: ports.provider,
      people: people.map(person => ({ ...person, secret: randomBytes(18).toString('base64url') })),
    })
    parts.push({ stop: provider.close })
    const tokens = new Map<string, string>()
    for (const { id } of people) {
      const token = await provider.token(id)
      tokens.set(id, token)
      place.write(`${id}.token`, token)
    }

    say('shop API')
    const shopLogin = { ...postgres, user: 'shop_app', password: passwords.shop_app }
    const shop = await startShop({ database: shopLogin, port: ports.shop })
    parts.push({ stop: shop.close })

    say('Bawn')
    const start = async () => {
      const gateway = await startGateway({
        command: options.bawn,
        config: place.path('bawn.yaml'),
        logFile: place.path('data/gateway.log'),
        readyUrl: `http://127.0.0.1:${ports.desk}/readyz`,
      })
      parts.push(gateway)
      return gateway
    }
    const gateway = await start()

    say('1,000 people, through the PostgreSQL door')
    const billing = {
      host: 'localhost',
      port: ports.sql,
      database: 'shop',
      user: 'billing',
      ssl: { ca: place.read('ca.pem'), cert: place.read('billing.pem'), key: place.read('billing.key') },
    }
    // All that the app which writes the last ten knows of keys. It can seal, and never open.
    const publicKey = importPublicKey(readFileSync(place.path(`keys/${clientId}_storage.pub`)))
    await fillTable({ straight: shopLogin, door: billing, seal: plaintext => sealAcraStruct(publicKey, plaintext) })

    const envFile = place.path('env')
    place.write('env', environment(place, ports, tokens, passwords.shop_app))
    return { ports, owner: postgres, billing, gateway, restartGateway: start, envFile, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The variables of the tour. Values are quoted: the folder is the user's to choose. */
function environment(place: Place, ports: Ports, tokens: ReadonlyMap<string, string>, shopPassword: string): string {
  const file = (name: string) => encodeURIComponent(place.path(name))
  const sql = `localhost:${ports.sql}/shop?sslmode=verify-full&sslrootcert=${file('ca.pem')}`
  const variables = {
    DEMO: place.folder,
    WEB: `http://127.0.0.1:${ports.web}`,
    SQL: `postgresql://${sql}`,
    SQL_BILLING: `postgresql://billing@${sql}&sslcert=${file('billing.pem')}&sslkey=${file('billing.key')}`,
    STRAIGHT: `postgresql://shop_app:${shopPassword}@127.0.0.1:${ports.postgres}/shop?sslmode=disable`,
    ALICE: tokens.get('alice'),
    BILLING: tokens.get('billing'),
    CAROL: tokens.get('carol'),
    OLGA: place.read('olga.password'),
  }
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}='${String(value).replaceAll("'", "'\\''")}'\n`)
    .join('')
}

async function choosePorts(place: Place, wanted: WorldOptions['ports']): Promise<Ports> {
  if (place.has('ports.json')) return JSON.parse(place.read('ports.json')) as Ports
  const { freePort, isFree } = await import('@bawn/demo/listen')
  const orFree = async (port: number | undefined) => (port !== undefined && (await isFree(port)) ? port : freePort())
  const ports: Ports = {
    web: await orFree(wanted.web),
    sql: await orFree(wanted.sql),
    desk: await orFree(wanted.desk),
    postgres: await freePort(),
    provider: await freePort(),
    shop: await freePort(),
  }
  place.write('ports.json', JSON.stringify(ports))
  return ports
}

/** Certificates, passwords, keys, accounts and the configuration; `complete` is written last, so a start that broke off begins anew. */
async function prepareFiles({ place, bawn, say, more = '' }: WorldOptions, ports: Ports): Promise<void> {
  if (place.has('complete')) return
  say('certificates, keys, accounts')
  const { createAuthority } = await import('@bawn/demo/certificates')
  const authority = createAuthority('Bawn demo authority')
  place.write('ca.pem', authority.certificate)
  const server = authority.issue('localhost', 'server', ['localhost', '127.0.0.1'])
  place.write('server.pem', server.certificate)
  place.write('server.key', server.key)
  const billing = authority.issue('billing', 'client')
  place.write('billing.pem', billing.certificate)
  place.write('billing.key', billing.key)
  for (const name of ['postgres', 'gateway', 'shop', 'olga']) {
    place.write(`${name}.password`, randomBytes(18).toString('base64url'))
  }
  place.write('master.key', randomBytes(32).toString('base64'))
  place.write('bawn.yaml', demoConfiguration(ports) + more)
  const config = ['--config', place.path('bawn.yaml')]
  await Promise.all([
    command(bawn, ['keys', 'generate', ...config, '--audit', '--client-id', clientId]),
    command(bawn, ['accounts', 'add', 'olga', '--role', 'support', ...config], place.read('olga.password')),
  ])
  place.write('complete', '')
}

/** Runs one of our own commands to its end. */
async function command(bawn: WorldOptions['bawn'], args: readonly string[], input = ''): Promise<void> {
  const [program, ...first] = bawn
  const running = run(program, [...first, ...args])
  running.child.stdin?.end(`${input}\n`)
  try {
    await running
  } catch (cause) {
    const stderr = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : String(cause)
    throw new CliError('cli.failed', `bawn ${args.slice(0, 2).join(' ')} failed`, { cause, suggestion: stderr })
  }
}
