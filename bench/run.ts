import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'

// `npm run bench`: every benchmark, one after the other. Each measures what it compares side by side in one run, because only such figures may be
// compared, and prints Markdown or plain text to stdout and its progress to stderr. With --write each becomes its section of docs/performance.md,
// with the conditions that it ran under. Names on the command line choose: npm run bench -- --write envelope
// What stands behind the first further option is the benchmark's own: npm run bench -- postgres --only prepared --clients 1,8

const benchmarks = {
  envelope: 'Sealing and opening values',
  postgres: 'The PostgreSQL door',
  'postgres-results': 'Large results through the PostgreSQL door',
  'postgres-sessions': 'Sessions at the PostgreSQL door',
  http: 'The HTTP door',
  workers: 'Two workers beside one',
  authn: 'Saying who one is',
  'authn-attacks': 'Refusing tokens',
  policy: 'Decisions of policies',
  'access-log': 'A line of the access log',
} as const

const root = join(import.meta.dirname, '..')

function conditions(): string {
  const processors = cpus()
  return [
    `- ${processors.length} × ${processors[0]?.model.trim() ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB of memory`,
    `- ${process.platform} ${release()}, Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`,
    `- ${new Date().toISOString().slice(0, 10)}; load average at the start: ${loadavg()
      .map(load => load.toFixed(1))
      .join(', ')}`,
  ].join('\n')
}

async function run(name: string, options: readonly string[]): Promise<string> {
  const file = join(root, 'bench', `${name}.ts`)
  if (!existsSync(file)) throw new Error(`there is no bench/${name}.ts`)
  const child = spawn(process.execPath, [file, ...options], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    process.stdout.write(text)
  })
  const [status] = await once(child, 'close')
  if (status !== 0) throw new Error(`bench/${name}.ts failed`)
  const text = output.trim()
  // What is no Markdown table keeps its columns.
  return text.includes('|---') ? text : `\`\`\`text\n${text}\n\`\`\``
}

const given = process.argv.slice(2)
const args = given.filter(arg => arg !== '--write')
const isWritten = given.length > args.length
const from = args.findIndex(arg => arg.startsWith('--'))
const chosen = from === -1 ? args : args.slice(0, from)
const options = args.slice(chosen.length)
if (options.length > 0 && chosen.length !== 1) throw new Error('options are those of one benchmark: name it')
const unknown = chosen.filter(name => !(name in benchmarks))
if (unknown.length > 0) throw new Error(`no benchmark is called ${unknown}; there are ${Object.keys(benchmarks)}`)

const page = join(root, 'docs/performance.md')
/** What stands above the first heading of the second level is written by hand. */
const [intro = '# Performance', ...written] = (existsSync(page) ? readFileSync(page, 'utf8') : '').split(/^## /m)
const known = new Map(written.map(text => [text.split('\n', 1)[0] ?? '', text.slice(text.indexOf('\n')).trim()]))

for (const [name, title] of Object.entries(benchmarks)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue
  const at = conditions()
  console.log(`## ${title}\n\n${at}\n`)
  known.set(title, `${at}\n\n${await run(name, options)}`)
  if (!isWritten) continue
  // At once, so that what follows may be stopped.
  const sections = Object.values(benchmarks).flatMap(one => (known.has(one) ? [`## ${one}\n\n${known.get(one)}`] : []))
  writeFileSync(page, `${[intro.trim(), ...sections].join('\n\n')}\n`)
}
