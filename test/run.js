// Entry of `npm test`. Plain JavaScript, so that an old Node can read it: the tests need Node 24, which `npm ci` has put into
// node_modules/.bin (docs/decisions/0002-node-24-and-older-machines.md).
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const major = Number(process.versions.node.split('.')[0])
if (major >= 24) {
  await import('./run.ts')
} else {
  const newer = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url))
  if (!existsSync(newer)) {
    console.error(
      `The tests need Node 24; this is ${process.version}, and npm ci brought no newer one for this platform.`,
    )
    process.exit(1)
  }
  const entry = fileURLToPath(import.meta.url)
  const { status } = spawnSync(newer, [entry, ...process.argv.slice(2)], { stdio: 'inherit' })
  process.exit(status ?? 1)
}
