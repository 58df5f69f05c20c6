import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../packages/demo/src/listen.ts'
import { keycloak } from './get-keycloak.ts'

/** A running Keycloak on 127.0.0.1, over plain HTTP, with one realm. */
export interface Keycloak {
  /** Of the realm. */
  readonly issuer: string
  /** An access token by name and password, from a client that may ask so. */
  token(client: string, user: string, password: string): Promise<string>
  /** Asks the admin REST API; `path` begins below `/admin/realms`. @returns what it answers, and the end of its `Location` */
  admin(method: string, path: string, body?: unknown): Promise<{ readonly json: unknown; readonly id: string }>
  /** Ends it at once, as a crash would; the data stay. */
  kill(): Promise<void>
  /** Starts it again on the same port and data. */
  again(): Promise<void>
  /** Ends it and removes its data. */
  stop(): Promise<void>
}

/** @param realm its name and all that is in it, as Keycloak exports it */
export async function startKeycloak(realm: { readonly realm: string }): Promise<Keycloak> {
  assert(existsSync(keycloak), 'Keycloak is not there: npm run test:keycloak fetches it')
  const folder = mkdtempSync(join(tmpdir(), 'bawn-keycloak-'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const password = randomBytes(16).toString('hex')
  const launch = async () => {
    const flags = [
      ...['start', '--optimized', '--cache=local', '--http-enabled=true', '--http-host=127.0.0.1'],
      ...[`--http-port=${port}`, `--hostname=${url}`, `--db-url=jdbc:h2:file:${folder}/db;NON_KEYWORDS=VALUE`],
    ]
    const child = spawn('bash', [join(keycloak, 'bin/kc.sh'), ...flags], {
      cwd: folder,
      // Of its own group: its script starts Java, and both have to end.
      detached: true,
      env: {
        ...process.env,
        ...{ KC_BOOTSTRAP_ADMIN_USERNAME: 'admin', KC_BOOTSTRAP_ADMIN_PASSWORD: password },
        // It lives for a minute: compiling well is not worth it.
        JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = once(child, 'exit')
    const end = (): void => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
        process.kill(-child.pid, 'SIGKILL')
    }
    process.once('exit', end)
    let said = ''
    await new Promise<void>((resolve, reject) => {
      const read = (text: string): void => {
        said = (said + text).slice(-65_536)
        if (/Listening on: http/.test(said)) resolve()
      }
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', read)
      ended.then(() => reject(new Error(`Keycloak ended: ${said}`)), reject)
    })
    return {
      async end() {
        process.off('exit', end)
        end()
        await ended
      },
    }
  }
  let running = await launch()

  const form = async (path: string, fields: Readonly<Record<string, string>>): Promise<string> => {
    const answer = await fetch(`${url}/realms/${path}/protocol/openid-connect/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'password', scope: 'openid', ...fields }),
    })
    const json: unknown = await answer.json()
    assert(json !== null && typeof json === 'object' && 'access_token' in json, JSON.stringify(json))
    return String(json.access_token)
  }
  const admin: Keycloak['admin'] = async (method, path, body) => {
    // Its own tokens live for a minute.
    const bearer = await form('master', { client_id: 'admin-cli', username: 'admin', password })
    const answer = await fetch(`${url}/admin/realms${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    assert(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
    const id = answer.headers.get('location')?.split('/').at(-1) ?? ''
    return { json: text === '' ? undefined : JSON.parse(text), id }
  }
  const stop = async (): Promise<void> => {
    await running.end()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await admin('POST', '', realm)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    issuer: `${url}/realms/${realm.realm}`,
    token: (client, username, secret) => form(realm.realm, { client_id: client, username, password: secret }),
    admin,
    kill: () => running.end(),
    async again() {
      running = await launch()
    },
    stop,
  }
}
