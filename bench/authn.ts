import { execFileSync } from 'node:child_process'
import {
  createHmac,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  randomBytes,
  sign as signBytes,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@bawn/demo/postgres'
import { deriveArgon2idVerifier, isArgon2idPassword } from '../packages/bawn/src/accounts/argon2id.ts'
import { digestHash } from '../packages/bawn/src/accounts/digest-verifier.ts'
import { digestResponse } from '../packages/bawn/src/authn/digest.ts'
import { createScramCredential } from '../packages/bawn/src/authn/scram-client.ts'
import {
  apiKey,
  coldUsers,
  type Gateway,
  hmacSecret,
  issueToken,
  opaqueToken,
  password,
  prepareFolder,
  signers,
  startGateway,
  tls,
} from './authn-gateway.ts'
import { askForNonce, loadHttp, loadLogins, startIntrospection, startUpstream } from './authn-load.ts'
import { median, treeCpuMicroseconds } from './processor-time.ts'

// What each way to say who one is costs the gateway: processor time of its process, all threads, per request and per login, and beside it
// the bare cryptography of it. The gateway has one core, everything else another. Each slice has one of the reference (nobody says who he
// is; trust) before and after it, and is compared with these two only: whatever else the machine does hits all three.
//
//   node bench/authn.ts [--rounds 7] [--only jwt,scram] [--profile: a .cpuprofile of each gateway, beside its other files, which stay]

const args = process.argv.slice(2)
const option = (name: string): string | undefined => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined)
const rounds = Number(option('--rounds') ?? 7)
const only = option('--only')?.split(',')
const profile = args.includes('--profile')

/** A way to log in that is measured. */
interface Side {
  readonly name: string
  /** The slice that it is compared with. */
  readonly reference: Slice
  readonly slice: Slice
  /** µs of the arithmetic alone, and what it is. */
  readonly bare?: { readonly name: string; readonly run: () => void | Promise<void>; readonly times: number }
  readonly times: Times
}

interface Times {
  /** µs */
  readonly own: number[]
  readonly ratio: number[]
  readonly more: number[]
  readonly bare: number[]
}

/** µs of processor time for each of its requests or logins. */
type Slice = () => Promise<number>

const cost = async (gateway: Gateway, count: number, work: () => Promise<void>): Promise<number> => {
  const before = treeCpuMicroseconds(gateway.pid)
  await work()
  return (treeCpuMicroseconds(gateway.pid) - before) / count
}

async function bareCost({ run, times }: NonNullable<Side['bare']>): Promise<number> {
  const before = process.cpuUsage()
  for (let n = 0; n < times; n += 1) await run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / times
}

function side(name: string, reference: Slice, slice: Slice, bare?: Side['bare']): Side {
  const times = { own: [], ratio: [], more: [], bare: [] }
  return { name, reference, slice, times, ...(bare === undefined ? {} : { bare }) }
}

async function measure(sides: readonly Side[]): Promise<void> {
  for (let round = -1; round < rounds; round += 1) {
    // The other way round each time: whatever one slice leaves behind for the next one, it leaves it for another.
    for (const { name, reference, slice, bare, times } of round % 2 === 0 ? sides : [...sides].reverse()) {
      const before = await reference()
      const own = await slice()
      const none = (before + (await reference())) / 2
      const arithmetic = bare === undefined ? Number.NaN : await bareCost(bare)
      process.stderr.write(
        `${round < 0 ? 'warming' : `round ${round + 1}`}: ${name}: ${own.toFixed(0)} µs, ${(own / none).toFixed(2)}\n`,
      )
      if (round < 0) continue
      times.own.push(own)
      times.ratio.push(own / none)
      times.more.push(own - none)
      times.bare.push(arithmetic)
    }
  }
}

const wanted = (sides: readonly Side[]): readonly Side[] =>
  only === undefined ? sides : sides.filter(({ name }) => only.some(part => name.includes(part)))

const spread = (values: readonly number[], digits: number): string =>
  `${median(values).toFixed(digits)} [${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}]`

function row({ name, times, bare }: Side, unit: 1 | 1_000, digits: number): string {
  const own = median(times.own)
  return `| ${[
    name,
    (own / unit).toFixed(digits),
    (1e6 / own).toFixed(0),
    spread(times.ratio, 2),
    (median(times.more) / unit).toFixed(digits),
    bare === undefined ? '' : (median(times.bare) / unit).toFixed(digits + 1),
    bare?.name ?? '',
  ].join(' | ')} |`
}

const connections = 32
const requests = 4_000

function httpSides(random: Gateway, signed: Gateway): readonly Side[] {
  const web =
    (path: string, headers: (connection: number) => string, gateway = random, count = requests): Slice =>
    () =>
      cost(gateway, count, () => loadHttp({ port: gateway.web, path, connections, requests: count, headers }))
  const bearer = (token: string) => `Authorization: Bearer ${token}\r\n`
  const basic = (user: string, secret: string) =>
    `Authorization: Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}\r\n`
  const none = web('/anyone', () => '')
  const noneAtSigned = web('/anyone', () => '', signed)

  /** One after the other, round and round: more of them than are remembered. */
  const oneByOne = (all: readonly string[]) => {
    let at = 0
    return () => all[at++ % all.length] ?? ''
  }
  const jwt = [
    ...signers,
    {
      algorithm: 'HS256' as const,
      publicKey: undefined,
      sign: (bytes: Buffer) => createHmac('sha256', hmacSecret).update(bytes).digest(),
    },
  ].flatMap(signer => {
    const { algorithm, publicKey } = signer
    process.stderr.write(`signing tokens: ${algorithm}\n`)
    const one = issueToken(signer)
    const data = Buffer.from(one.slice(0, one.lastIndexOf('.')))
    const signature = Buffer.from(one.slice(one.lastIndexOf('.') + 1), 'base64url')
    const warm = side(
      `jwt ${algorithm}, seen before`,
      none,
      web('/jwt', () => bearer(one)),
      {
        ...{ name: 'SHA-256 of the token', times: 20_000 },
        run: () => void hash('sha256', one, 'base64'),
      },
    )
    const secret = createSecretKey(hmacSecret)
    // As the gateway holds it: imported once.
    const key = publicKey && createPublicKey({ key: publicKey.export({ format: 'jwk' }), format: 'jwk' })
    const run =
      key === undefined
        ? () => void createHmac('sha256', secret).update(data).digest()
        : () =>
            void verify(
              algorithm === 'EdDSA' ? null : 'sha256',
              data,
              { key, dsaEncoding: 'ieee-p1363' as const },
              signature,
            )
    const tokens = Array.from({ length: 11_000 }, () => bearer(issueToken(signer)))
    const cold = side(`jwt ${algorithm}, each token new`, none, web('/jwt', oneByOne(tokens)), {
      ...{ name: key === undefined ? 'HMAC' : '`crypto.verify`', times: 2_000 },
      run,
    })
    return [warm, cold]
  })

  const coldCount = 12
  let coldAt = 0
  const nextCold = () => basic(coldUsers[coldAt++] ?? '', password)
  const argon2id = deriveArgon2idVerifier(password)
  const ha1 = digestHash('SHA-256', `dora:bawn:${password}`)
  const digest: Slice = async () => {
    const nonces = await Promise.all(Array.from({ length: connections }, () => askForNonce(random.web, '/digest')))
    const counts = nonces.map(() => 0)
    const headers = (connection: number): string => {
      const nonce = nonces[connection] ?? ''
      const count = (counts[connection] ?? 0) + 1
      counts[connection] = count
      const nc = count.toString(16).padStart(8, '0')
      const response = digestResponse('SHA-256', ha1, { method: 'GET', uri: '/digest', nonce, nc, cnonce: 'bench' })
      return `Authorization: Digest username="dora", realm="bawn", nonce="${nonce}", uri="/digest", algorithm=SHA-256, qop=auth, nc=${nc}, cnonce="bench", response="${response}"\r\n`
    }
    return web('/digest', headers)()
  }
  const own = async (gateway: Gateway): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${gateway.web}/token`, {
      method: 'POST',
      headers: { authorization: basic('wanda', password).slice('Authorization: '.length).trim() },
    })
    const { access_token: token } = (await answer.json()) as { readonly access_token: string }
    return bearer(token)
  }
  const withToken = (gateway: Gateway): Slice => {
    let token: Promise<string> | undefined
    return async () => {
      token ??= own(gateway)
      const header = await token
      return web('/auth-token', () => header, gateway)()
    }
  }
  const secure =
    (path: string): Slice =>
    () => {
      const { certificate: cert, key } = tls.client
      const options = { ca: tls.ca, servername: 'localhost', cert, key }
      const headers = () => ''
      return cost(random, requests, () =>
        loadHttp({ port: random.secure, path, tls: options, connections, requests, headers }),
      )
    }
  return [
    side('no authentication (`allow: [anyone]`)', none, none),
    ...jwt,
    side(
      'identity',
      none,
      web('/identity', () => ''),
    ),
    side(
      'api-key',
      none,
      web('/api-key', () => `X-Api-Key: ${apiKey}\r\n`),
      {
        ...{ name: 'SHA-256 of the key', times: 20_000 },
        run: () => void hash('sha256', apiKey),
      },
    ),
    side(
      'basic, checked before',
      none,
      web('/basic', () => basic('wanda', password)),
      {
        ...{ name: 'HMAC', times: 20_000 },
        run: () => void createHmac('sha256', hmacSecret).update(password).digest('base64'),
      },
    ),
    side('basic, for the first time', none, web('/basic', nextCold, random, coldCount), {
      ...{ name: 'argon2id, 19 MiB, 2 passes', times: 5 },
      run: async () => void (await isArgon2idPassword(await argon2id, password)),
    }),
    side('digest, SHA-256', none, digest, {
      ...{ name: 'the two hashes', times: 20_000 },
      run: () => {
        digestResponse('SHA-256', ha1, { method: 'GET', uri: '/digest', nonce: 'n'.repeat(46), nc: '1', cnonce: 'b' })
      },
    }),
    side('token, random', none, withToken(random)),
    side('token, signed', noneAtSigned, withToken(signed)),
    side(
      'introspection, asked before',
      none,
      web('/introspection', () => bearer(opaqueToken)),
    ),
    side('certificate, over TLS; compared with nobody over TLS', secure('/anyone'), secure('/certificate')),
  ]
}

function loginSides(gateway: Gateway): readonly Side[] {
  const logins = 300
  const port = gateway.sql
  const scram = createScramCredential(password)
  const server = { ca: tls.ca, servername: 'localhost' }
  // Of one user from one address, only a few logins may be under way.
  const slice =
    (load: Omit<Parameters<typeof loadLogins>[0], 'port' | 'logins' | 'connections'>): Slice =>
    () =>
      cost(gateway, logins, () => loadLogins({ ...load, port, logins, connections: 4 }))
  const trust = slice({ user: 'wanda' })
  const jwt = signers[1]
  const { certificate: cert, key } = tls.client
  const token = jwt && issueToken(jwt)
  const [storedKey, serverKey] = [createSecretKey(randomBytes(32)), createSecretKey(randomBytes(32))]
  const message = Buffer.from('n'.repeat(180))
  const exchange = (): void => {
    const signature = createHmac('sha256', storedKey).update(message).digest()
    const proven = hash('sha256', signature, 'buffer')
    timingSafeEqual(proven, signature)
    createHmac('sha256', serverKey).update(message).digest('base64')
  }
  const ecdsa = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const theirs = generateKeyPairSync('x25519').publicKey
  const handshake = (): void => {
    const { privateKey } = generateKeyPairSync('x25519')
    diffieHellman({ privateKey, publicKey: theirs })
    signBytes('sha256', message, ecdsa)
  }
  return [
    side('trust', trust, trust),
    side('password, checked before', trust, slice({ user: 'wanda', by: 'password', password })),
    side('scram', trust, slice({ user: 'wanda', by: 'scram', scram }), {
      ...{ name: 'two HMACs and a hash', times: 5_000 },
      run: exchange,
    }),
    side('trust over TLS', trust, slice({ user: 'wanda', tls: server }), {
      ...{ name: 'X25519 pair and agreement, ECDSA signature', times: 500 },
      run: handshake,
    }),
    side('scram over TLS', trust, slice({ user: 'wanda', by: 'scram', scram, tls: server }), {
      ...{ name: 'these and those', times: 500 },
      run: () => {
        handshake()
        exchange()
      },
    }),
    side('certificate', trust, slice({ user: 'bench-client', tls: { ...server, cert, key } })),
    side('jwt as the password', trust, slice({ user: 'bench-user', password: token ?? '' })),
  ]
}

try {
  execFileSync('taskset', ['-a', '-c', '-p', '1', `${process.pid}`], { stdio: 'ignore' })
} catch (cause) {
  throw new Error('bench/authn.ts needs taskset and two cores: install the Debian package util-linux', { cause })
}
const folder = mkdtempSync(join(tmpdir(), 'bawn-bench-'))
const closing: (() => unknown)[] = []
try {
  const postgres = await startPostgres({ settings: { max_connections: '50' } })
  closing.push(() => postgres.stop())
  const [upstream, introspection] = [await startUpstream(), await startIntrospection()]
  closing.push(() => {
    upstream.close()
    introspection.close()
  })
  await prepareFolder(folder, postgres.password)
  const nodeArguments = profile ? ['--cpu-prof', `--cpu-prof-dir=${folder}`] : []
  const ports = { upstreamPort: upstream.port, introspectionPort: introspection.port }
  const start = async (tokens: string): Promise<Gateway> => {
    const gateway = await startGateway({ folder, core: 0, postgres, tokens, nodeArguments, ...ports })
    closing.push(() => gateway.stop())
    return gateway
  }
  const random = await start('kind: sqlite, path: tokens.db')
  const signed = await start('kind: signed, key: file:tokens.pem, revocations: { kind: sqlite, path: revocations.db }')
  const http = wanted(httpSides(random, signed))
  const logins = wanted(loginSides(random))
  await measure(http)
  await measure(logins)

  console.log(
    `Processor time of the gateway's process, all threads, on one core; ${rounds} rounds, median. Each is compared with slices of the reference right before and after it, median [least–most].\n`,
  )
  if (http.length > 0) {
    console.log(
      `HTTP: ${connections} connections, keep-alive, 500-byte answers, policy, audit line, metrics; ${requests} requests a slice.\n`,
    )
    console.log('| | µs per request | requests/s | of no authentication | µs more | bare µs | bare is |')
    console.log('|---|---|---|---|---|---|---|')
    for (const each of http) console.log(row(each, 1, 1))
  }
  if (logins.length > 0) {
    console.log(
      '\nPostgreSQL: connect, log in, session at the server behind, leave. Bare is the gateway’s part of the exchange alone.\n',
    )
    console.log('| | ms per login | logins/s | of trust | ms more | bare ms | bare is |')
    console.log('|---|---|---|---|---|---|---|')
    for (const each of logins) console.log(row(each, 1_000, 2))
  }
} finally {
  for (const close of closing.reverse()) await close()
  if (profile) console.error(`profiles are in ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}
