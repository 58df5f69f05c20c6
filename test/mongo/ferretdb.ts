import { strict as assert } from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ferretdb } from './build-ferretdb.ts'

/** A running server that speaks MongoDB's protocol, with one user, on 127.0.0.1. */
export interface Mongo {
  readonly port: number
  readonly user: string
  readonly password: string
  /** Ends it at once, as a crash would; the data stay. */
  kill(): Promise<void>
  /** Starts it again on the same port and data. */
  again(): Promise<void>
  /** Ends it and removes its data. */
  stop(): Promise<void>
}

/** PEM texts. With `clientCa` every client needs a certificate of it. */
export interface MongoTls {
  readonly certificate: string
  readonly key: string
  readonly clientCa?: string
}

export async function startMongo(tls?: MongoTls): Promise<Mongo> {
  assert(existsSync(ferretdb), 'FerretDB is not built: npm run test:mongo builds it')
  const folder = mkdtempSync(join(tmpdir(), 'bawn-mongo-'))
  for (const name of ['data', 'state']) mkdirSync(join(folder, name))
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const user = 'gateway'
  const password = 'of the gateway'
  const tlsFlags =
    tls === undefined
      ? []
      : [
          `--listen-tls-cert-file=${file('server.crt', tls.certificate)}`,
          `--listen-tls-key-file=${file('server.key', tls.key)}`,
          ...(tls.clientCa === undefined ? [] : [`--listen-tls-ca-file=${file('ca.crt', tls.clientCa)}`]),
        ]
  const launch = async (port: number, more: readonly string[]) => {
    const address = `127.0.0.1:${port}`
    const flags = [
      '--handler=sqlite',
      `--sqlite-url=file:${join(folder, 'data')}/`,
      `--state-dir=${join(folder, 'state')}`,
      '--debug-addr=-',
      '--telemetry=disable',
      '--test-enable-new-auth',
      ...(tls === undefined ? [`--listen-addr=${address}`] : ['--listen-addr=', `--listen-tls=${address}`]),
      ...tlsFlags,
      ...more,
    ]
    const child = spawn(ferretdb, flags, { cwd: folder, env: {}, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = once(child, 'exit')
    let said = ''
    const listening = new Promise<number>((resolve, reject) => {
      const read = (text: string) => {
        said = (said + text).slice(-65_536)
        const found = /Listening on (?:TCP|TLS) 127\.0\.0\.1:([0-9]+)/.exec(said)?.[1]
        if (found !== undefined) resolve(Number(found))
      }
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', read)
      ended.then(() => reject(new Error(`FerretDB ended: ${said}`)))
    })
    return { child, ended, port: await listening }
  }
  let running = await launch(0, ['--setup-database=admin', `--setup-username=${user}`, `--setup-password=${password}`])
  const end = () => running.child.kill('SIGKILL')
  process.once('exit', end)
  const { port } = running
  const kill = async (): Promise<void> => {
    end()
    await running.ended
  }
  return {
    ...{ port, user, password, kill },
    async again() {
      running = await launch(port, [])
    },
    async stop() {
      process.off('exit', end)
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
