import { type ChildProcess, execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { spawnCompanion } from './companion.ts'
import { freePort } from './listen.ts'
import {
  type Binaries,
  cacheFolder,
  findBinaries,
  moveIntoPlace,
  PostgresUnavailable,
  reachable,
  unprivileged,
} from './postgres-binaries.ts'

const run = promisify(execFile)

export interface PostgresOptions {
  /** Created when it does not exist yet. Default `postgres`, which always does. */
  readonly database?: string
  /**
   * Keeps its data here, safely written, and finds it again at the next start. Without it the data lives in a folder that `stop`
   * removes, and nothing is flushed to the disk.
   */
  readonly dataDirectory?: string
  /** Of the superuser `postgres`. Needed with `dataDirectory`, the same each time; a random one otherwise. */
  readonly password?: string
  /** Default: a free one. */
  readonly port?: number
  /** PEM texts: the server then also speaks TLS. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** Further settings (`-c name=value`), for example `{ max_connections: '50' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface Postgres {
  readonly host: '127.0.0.1'
  readonly port: number
  /** A superuser. */
  readonly user: 'postgres'
  readonly password: string
  readonly database: string
  readonly dataDirectory: string
  /** Of the postmaster. */
  readonly pid: number
  /** Resolves when the server has ended; removes the data of a throw-away server. */
  stop(): Promise<void>
  /** Ends the server at once, as a crash would; the data stays. Returns before it has ended. */
  kill(): void
}

/**
 * Starts a real PostgreSQL on 127.0.0.1, login by SCRAM-SHA-256, no Unix socket. It ends when this process ends, however that
 * happens. Works as root (the server then runs as nobody) and as an ordinary user.
 *
 * @throws {PostgresUnavailable} when no PostgreSQL can be had, its user cannot reach the data folder, or it does not start
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const binaries = await findBinaries()
  const lasting = options.dataDirectory !== undefined
  const place =
    options.dataDirectory === undefined
      ? await throwAway(binaries)
      : await lastingData(binaries, options.dataDirectory, options.password)
  const { dataDirectory, password } = place
  const remove = () => {
    if (!lasting) rmSync(dirname(dataDirectory), { recursive: true, force: true })
  }
  try {
    const flags = [...(lasting ? [] : forgetful), ...tlsFlags(dataDirectory, options.tls)]
    for (const [name, value] of Object.entries(options.settings ?? {})) flags.push('-c', `${name}=${value}`)
    const server = await launch(
      join(binaries.bin, 'postgres'),
      dataDirectory,
      options.port,
      flags,
      lasting ? 'INT' : 'QUIT',
    )
    // For whoever ends without having stopped it: the watcher ends the server, nobody would remove its data.
    const abandon = () => {
      server.kill()
      // It may write while it ends; its processes are gone within milliseconds.
      for (let attempt = 0; attempt < 50 && existsSync(dirname(dataDirectory)); attempt++) {
        try {
          remove()
        } catch {}
      }
    }
    if (!lasting) process.once('exit', abandon)
    const postgres: Postgres = {
      host: '127.0.0.1',
      port: server.port,
      user: 'postgres',
      password,
      database: options.database ?? 'postgres',
      dataDirectory,
      pid: server.pid,
      async stop() {
        process.off('exit', abandon)
        await server.end(lasting ? 'SIGINT' : 'SIGQUIT')
        remove()
      },
      kill: () => server.kill(),
    }
    try {
      await createDatabase(postgres)
    } catch (error) {
      await server.end('SIGQUIT')
      throw error
    }
    return postgres
  } catch (error) {
    remove()
    throw error
  }
}

interface Place {
  readonly dataDirectory: string
  readonly password: string
}

/** A copy of the template, in a folder of its own. Copying takes a fifth of the time of initdb. */
async function throwAway(binaries: Binaries): Promise<Place> {
  const template = await initialisedTemplate(binaries)
  const folder = mkdtempSync(join(tmpdir(), 'bawn-pgdata-'))
  giveAway(folder)
  const dataDirectory = join(folder, 'data')
  // As its user, so that the copy belongs to it.
  await run('cp', ['-R', '-p', join(template, 'owned/data'), dataDirectory], { cwd: '/', ...unprivileged })
  return { dataDirectory, password: readFileSync(join(template, 'password'), 'utf8') }
}

/** @returns folder with `password` (readable by us alone) and `owned/data` */
async function initialisedTemplate(binaries: Binaries): Promise<string> {
  const template = join(await cacheFolder(), `template-${binaries.version}`)
  if (existsSync(template)) return template
  const building = mkdtempSync(`${template}.`)
  if (unprivileged.uid !== undefined) chmodSync(building, 0o711)
  const owned = join(building, 'owned')
  mkdirSync(owned, { mode: 0o700 })
  giveAway(owned)
  const password = randomBytes(24).toString('base64url')
  try {
    await initialise(binaries, join(owned, 'data'), password, ['--no-sync'])
  } catch (error) {
    rmSync(building, { recursive: true, force: true })
    throw error
  }
  writeFileSync(join(building, 'password'), password, { mode: 0o600 })
  await moveIntoPlace(building, template)
  return template
}

async function lastingData(binaries: Binaries, folder: string, password: string | undefined): Promise<Place> {
  if (password === undefined) throw new TypeError('dataDirectory needs a password')
  const dataDirectory = resolve(folder)
  if (!existsSync(join(dataDirectory, 'PG_VERSION'))) {
    mkdirSync(dataDirectory, { recursive: true, mode: 0o700 })
    giveAway(dataDirectory)
    if (!reachable(dirname(dataDirectory))) {
      throw new PostgresUnavailable(
        `PostgreSQL runs as nobody here, because it refuses to run as root, and nobody cannot enter ${dirname(dataDirectory)}: ` +
          'choose a folder that others may pass through, for example under /var/tmp',
      )
    }
    await initialise(binaries, dataDirectory, password, [])
  }
  return { dataDirectory, password }
}

async function initialise(
  binaries: Binaries,
  dataDirectory: string,
  password: string,
  more: readonly string[],
): Promise<void> {
  // initdb reads the password from a file only: /dev/stdin is a socket here, which it cannot open.
  const folder = mkdtempSync(join(tmpdir(), 'bawn-initdb-'))
  const passwordFile = join(folder, 'password')
  try {
    writeFileSync(passwordFile, password, { mode: 0o600 })
    giveAway(passwordFile)
    giveAway(folder)
    const flags = ['-D', dataDirectory, '-U', 'postgres', '-A', 'scram-sha-256', '-E', 'UTF8', '--locale=C']
    await run(join(binaries.bin, 'initdb'), [...flags, `--pwfile=${passwordFile}`, ...more], {
      cwd: '/',
      env: environment,
      ...unprivileged,
    })
  } catch (cause) {
    throw new PostgresUnavailable(`initdb failed: ${stderrOf(cause)}`, { cause })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function stderrOf(error: unknown): string {
  if (error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' && error.stderr !== '') {
    return error.stderr.trim()
  }
  return error instanceof Error ? error.message : String(error)
}

function giveAway(path: string): void {
  if (unprivileged.uid !== undefined && unprivileged.gid !== undefined)
    chownSync(path, unprivileged.uid, unprivileged.gid)
}

/** Nothing of ours: a PGDATA or PGPORT of the caller must not reach the server. */
const environment = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

const forgetful = ['-c', 'fsync=off', '-c', 'synchronous_commit=off', '-c', 'full_page_writes=off']

function tlsFlags(dataDirectory: string, tls: PostgresOptions['tls']): string[] {
  if (tls === undefined) return []
  for (const [file, text] of [
    ['server.crt', tls.certificate],
    ['server.key', tls.key],
  ] as const) {
    const path = join(dataDirectory, file)
    rmSync(path, { force: true })
    writeFileSync(path, text, { mode: 0o600, flag: 'wx' })
    giveAway(path)
  }
  return ['-c', 'ssl=on', '-c', 'ssl_cert_file=server.crt', '-c', 'ssl_key_file=server.key']
}

interface Server {
  readonly pid: number
  readonly port: number
  end(signal: 'SIGINT' | 'SIGQUIT'): Promise<void>
  kill(): void
}

async function launch(
  program: string,
  dataDirectory: string,
  wanted: number | undefined,
  flags: readonly string[],
  atOurDeath: 'INT' | 'QUIT',
): Promise<Server> {
  // Between finding a free port and taking it somebody else may; and the predecessor in this folder may still be ending.
  for (let attempt = 1; ; attempt++) {
    const port = wanted ?? (await freePort())
    const args = ['-D', dataDirectory, '-p', String(port), ...fixed, ...flags]
    const child = spawnCompanion(program, args, { atOurDeath, cwd: '/', env: environment, ...unprivileged })
    const outcome = await ready(child)
    if (outcome.kind === 'ready') return watch(child, outcome.pid, port)
    const again = /Address already in use|lock file "postmaster.pid" already exists|pre-existing shared memory block/
    if (attempt >= 20 || !again.test(outcome.log) || (wanted !== undefined && attempt >= 5)) {
      throw new PostgresUnavailable(`PostgreSQL did not start on port ${port}: ${outcome.log.trim()}`)
    }
    await new Promise(resume => setTimeout(resume, 250))
  }
}

const fixed = ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'shared_buffers=32MB']

type Readiness = { readonly kind: 'ready'; readonly pid: number } | { readonly kind: 'ended'; readonly log: string }

function ready(child: ChildProcess): Promise<Readiness> {
  return new Promise((answer, reject) => {
    let log = ''
    const settle = (readiness: Readiness) => {
      child.stderr?.removeAllListeners('data')
      answer(readiness)
    }
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-4096)
      if (/ready to accept (read-only )?connections/.test(log) && child.pid !== undefined)
        settle({ kind: 'ready', pid: child.pid })
    })
    child.once('error', reject)
    child.once('exit', () => {
      // What it said last may still be on its way.
      setImmediate(() => settle({ kind: 'ended', log: log === '' ? 'it ended without a word' : log }))
    })
  })
}

function watch(child: ChildProcess, pid: number, port: number): Server {
  const ended = new Promise<void>(resolve => {
    child.once('exit', () => resolve())
  })
  // Nobody reads its log any more, but a full pipe would stop the server.
  child.stderr?.on('error', () => {}).resume()
  const handles = [child, child.stderr, child.stdio[3]]
  const each = (method: 'ref' | 'unref') => {
    for (const handle of handles) if (handle != null && method in handle) (handle as ChildProcess)[method]()
  }
  // A test that forgets to stop the server still ends, and takes the server with it.
  each('unref')
  return {
    pid,
    port,
    async end(signal) {
      each('ref')
      child.kill(signal)
      await ended
      each('unref')
    },
    kill: () => {
      child.kill('SIGQUIT')
    },
  }
}

async function createDatabase(postgres: Postgres): Promise<void> {
  if (postgres.database === 'postgres') return
  const { host, port, user, password } = postgres
  const client = new pg.Client({ host, port, user, password, database: 'postgres' })
  await client.connect()
  try {
    const found = await client.query('select from pg_database where datname = $1', [postgres.database])
    if (found.rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(postgres.database)}`)
  } finally {
    await client.end()
  }
}
