import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { createPlanner } from '../packages/bawn/src/postgres/sql/planner.ts'
import { sees, shopSnapshot } from '../packages/bawn/src/postgres/sql/shop.fixture.ts'
import { MessageBuilder } from '../packages/bawn/src/postgres/wire/builder.ts'
import { back } from '../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../packages/bawn/src/postgres/wire/startup.ts'
import { listen } from '../packages/demo/src/listen.ts'
import { rules, startKit } from '../test/postgres-kit.ts'
import { option } from './postgres-peers.ts'

// What a session costs that does nothing, in memory, and what it takes to find the plan of a statement that is known. The server behind
// the door only logs in: thousands of real ones would not fit on a small machine. `--sessions` says how many.

if (process.argv.includes('--door')) await serve(Number(process.argv.at(-1)))
else await measure()

async function serve(port: number): Promise<void> {
  const kit = await startKit('create table people (id int primary key, email bytea, photo bytea)')
  const shop = kit.state.databases.get('shop')
  if (shop === undefined) throw new Error('no database')
  rules.set('gus', { kind: 'matched', rule: 'idle', use: ['trust'] })
  const door = await kit.listen(
    { tls: undefined, max_connections: 100_000 },
    { databases: new Map([['shop', { ...shop, upstream: { ...shop.upstream, port, tls: undefined } }]]) },
  )
  console.log(door.address.port)
  process.stdin.resume().once('end', async () => {
    await kit.stop()
    process.exit()
  })
}

async function measure(): Promise<void> {
  const wanted = option('--sessions', 5_000)
  const behind = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => socket.write(greeting()))
  })
  const port = await listen(behind, 0)
  const door = spawn(process.execPath, [import.meta.filename, '--door', `${port}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line]: unknown[] = await once(createInterface({ input: door.stdout }), 'line')
  const pid = door.pid ?? 0
  const sockets: Socket[] = []
  try {
    for (let n = 0; n < 100; n += 1) sockets.push(await login(Number(line)))
    const before = await settled(pid)
    while (sockets.length < wanted) {
      sockets.push(...(await Promise.all(Array.from({ length: 50 }, () => login(Number(line))))))
    }
    const after = await settled(pid)
    console.log('| sessions | resident, MB | of each, kB |')
    console.log('|---|---|---|')
    console.log(`| 100 | ${(before / 1e3).toFixed(0)} | |`)
    const each = (after - before) / (sockets.length - 100)
    console.log(`| ${sockets.length} | ${(after / 1e3).toFixed(0)} | ${each.toFixed(1)} |`)
  } finally {
    for (const socket of sockets) socket.destroy()
    door.stdin.end()
    await once(door, 'close')
    behind.close()
  }
  console.log(`\nThe plan of a statement that is known by its text: ${(await findPlan()).toFixed(2)} µs.`)
}

function login(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the door has closed')))
    socket.write(
      buildStartupMessage([
        ['user', 'gus'],
        ['database', 'shop'],
      ]),
    )
    let tail = ''
    socket.on('data', chunk => {
      tail = (tail + chunk.toString('latin1')).slice(-6)
      if (tail === 'Z\0\0\0\x05I') resolve(socket)
    })
  })
}

/** kB of resident memory, when it has stopped changing. */
async function settled(pid: number): Promise<number> {
  let last = Number.POSITIVE_INFINITY
  while (true) {
    const now = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
    if (Math.abs(now - last) < 500) return now
    last = now
    await new Promise(resolve => setTimeout(resolve, 2_000))
  }
}

/** What a server says that lets somebody in unasked. */
function greeting(): Buffer {
  const message = new MessageBuilder().begin(back.authentication).int32(0).end()
  for (const [name, value] of [
    ['client_encoding', 'UTF8'],
    ['standard_conforming_strings', 'on'],
    ['server_version', '18.4'],
  ] as const) {
    message.begin(back.parameterStatus).cstring(name).cstring(value).end()
  }
  message.begin(back.backendKeyData).int32(1).int32(2).end()
  return message.begin(back.readyForQuery).uint8(0x49).end().take()
}

/** µs to find the plan of a statement on a protected table, of a thousand that are known. */
async function findPlan(): Promise<number> {
  const planner = await createPlanner()
  const texts = Array.from({ length: 1_000 }, (_, at) =>
    Buffer.from(`SELECT id, name, joined, email FROM users WHERE id = $1 AND name <> 'n${at}' ORDER BY name LIMIT 20`),
  )
  for (const text of texts) await planner.plan(text, shopSnapshot, 'bench', sees)
  const rounds = 200
  const each = (): void => {
    for (const text of texts) {
      if (planner.plan(text, shopSnapshot, 'bench', sees) instanceof Promise) throw new Error('the plan was not kept')
    }
  }
  for (let round = 0; round < rounds; round += 1) each()
  const before = process.cpuUsage()
  for (let round = 0; round < rounds; round += 1) each()
  const { user, system } = process.cpuUsage(before)
  await planner.close()
  return (user + system) / (rounds * texts.length)
}
