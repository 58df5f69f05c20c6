import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** The folder with everything a demo makes. */
export interface Place {
  readonly folder: string
  /** Removed at the end. */
  readonly temporary: boolean
  path(name: string): string
  has(name: string): boolean
  read(name: string): string
  /** Readable by us alone. */
  write(name: string, text: string): void
  remove(): void
}

/** @param data a folder to keep and to find again; a fresh temporary one where `undefined` */
export function createPlace(data: string | undefined, keep: boolean): Place {
  const folder = data === undefined ? mkdtempSync(join(tmpdir(), 'bawn-demo-')) : resolve(data)
  mkdirSync(join(folder, 'data'), { recursive: true, mode: 0o700 })
  // Where we are root, PostgreSQL runs as another user and has to pass through to its own folder.
  if (process.getuid?.() === 0) chmodSync(folder, 0o711)
  const path = (name: string) => join(folder, name)
  return {
    folder,
    temporary: data === undefined && !keep,
    path,
    has: name => existsSync(path(name)),
    read: name => readFileSync(path(name), 'utf8'),
    write(name, text) {
      writeFileSync(path(name), text, { mode: 0o600 })
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
