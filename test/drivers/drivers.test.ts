import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type ClientProgram, startClient } from './client.ts'
import { type DriverGateway, httpSource, startDriverGateway, type TrailLine } from './gateway.ts'
import { httpTrials } from './http-requests.ts'
import { type Installed, install } from './install.ts'
import { type Cell, httpClients, httpMechanisms, postgresClients, postgresMechanisms } from './matrix.ts'
import { type Login, postgresTrials } from './postgres-logins.ts'
import { relayed } from './relay.ts'
import { clientNames, namedInVersions, page, readPage, rewritten } from './table.ts'

// Clients that nobody here wrote, each as its own process, at one gateway: every mechanism that it can do, the same with a wrong credential,
// and that what it cannot do ends with an error. `npm run test:drivers -- --write` writes the tables of docs/clients.md.

let gateway: DriverGateway
let commands: ReadonlyMap<string, readonly string[]>
before(async () => {
  commands = commandsOf(await install())
  gateway = await startDriverGateway()
})
after(() => gateway?.stop())

function commandsOf({ python, libpq, libpqVersion, pgjdbc, pgx, netHttp }: Installed): typeof commands {
  const program = (name: string): string => join(import.meta.dirname, 'programs', name)
  const node = process.execPath
  return new Map([
    ['psql', [node, program('psql.ts')]],
    ['psql-18', [node, program('psql.ts'), libpq, libpqVersion]],
    ['psycopg', [python, program('psycopg_login.py')]],
    ['asyncpg', [python, program('asyncpg_login.py')]],
    ['node-postgres', [node, program('node-postgres.ts')]],
    ['postgres-js', [node, program('postgres-js.ts')]],
    ['pgjdbc', ['java', '-cp', pgjdbc, program('PgjdbcLogin.java')]],
    ['pgx', [pgx]],
    ['requests', [python, program('requests_login.py')]],
    ['httpx', [python, program('httpx_login.py')]],
    ['net-http', [netHttp]],
    ['java', ['java', program('HttpLogin.java')]],
  ])
}

const versions = new Map<string, string>()

async function start(id: string): Promise<ClientProgram> {
  // libpq wants the provider of tokens to have TLS, unless it is told so.
  const client = await startClient(commands.get(id) ?? [], { PGOAUTHDEBUG: 'UNSAFE' })
  versions.set(id, client.version)
  return client
}

const shown = (cell: Cell): string => ('cannot' in cell ? `no, ${cell.cannot}` : cell.settings)

/** Lines that the trail has got: a client may leave before the gateway has written its own. */
async function untilLines(isWanted: (line: TrailLine) => boolean): Promise<readonly TrailLine[]> {
  const lines: TrailLine[] = []
  for (const end = Date.now() + 10_000; Date.now() < end; await new Promise(resolve => setTimeout(resolve, 10))) {
    lines.push(...gateway.trail().filter(isWanted))
    if (lines.length > 0) break
  }
  return lines
}

for (const [index, client] of postgresClients.entries()) {
  describe(client.name, () => {
    let program: ClientProgram
    before(async () => {
      program = await start(client.id)
    })
    after(() => program?.stop())

    const run = async (login: Login) => {
      gateway.trail()
      // Each client from an address of its own: failed logins of one do not slow the next one down.
      const source = `127.0.2.${index + 1}`
      const { result, openings } = await relayed(gateway.ports.sql, source, port =>
        program.run({ ...login, port: String(port) }),
      )
      return { result, opening: openings.at(-1) }
    }
    const isLogin = (line: TrailLine): boolean => line.kind === 'login'

    for (const { id, title } of postgresMechanisms) {
      const cell = client.cells[id]
      test(`${title}: ${shown(cell)}`, async () => {
        const trial = postgresTrials(gateway)[id]
        const { result, opening } = await run(trial.login)
        if ('cannot' in cell) {
          const { error, cannot, who } = result
          assert.equal(who, undefined, 'it can: the matrix is wrong')
          assert.match(error ?? cannot ?? '', /\w+ \w+/, 'it says why')
          assert.deepEqual(
            gateway.trail().filter(line => isLogin(line) && line.decision === 'permit'),
            [],
          )
          return
        }
        const { who, said, next } = result
        assert.deepEqual([who, said, next], [trial.session, trial.login['said'], '42'], JSON.stringify(result))
        const [line] = await untilLines(isLogin)
        assert.deepEqual([line?.decision, line?.identity?.mechanism], ['permit', trial.mechanism])
        assert.equal(opening?.kind, trial.opening)
        if (id === 'tls-direct') assert(opening?.alpn, 'it names the protocol')
        if (id === 'tls-full')
          assert.equal(opening?.alpn, ['psql-18', 'psycopg'].includes(client.id), 'libpq 17 names it too')
        if (id === 'scram-plus') assert.equal(result['sasl'] ?? 'SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256-PLUS')
        if (result['discovery']) assert.equal(result['discovery'], gateway.discovery)
        for (const { what, login, error, code } of trial.refusals) {
          const refused = await run(login)
          assert.match(refused.result['error'] ?? '', error, `${what}: ${JSON.stringify(refused.result)}`)
          if (code === undefined) continue
          const [denied] = await untilLines(isLogin)
          assert.deepEqual([denied?.decision, denied?.code], ['deny', code], what)
        }
      })
    }
  })
}

for (const [index, client] of httpClients.entries()) {
  describe(client.name, () => {
    let program: ClientProgram
    before(async () => {
      program = await start(client.id)
    })
    after(() => program?.stop())

    for (const { id, title } of httpMechanisms) {
      const cell = client.cells[id]
      test(`${title}: ${shown(cell)}`, async () => {
        const trial = httpTrials(gateway)[id]
        const run = async (login: Login) => {
          gateway.trail()
          const { result } = await relayed(gateway.ports.web, httpSource(id, index + 1), port =>
            program.run({ ...login, url: `https://localhost:${port}/orders` }),
          )
          return result
        }
        const result = await run(trial.login)
        if ('cannot' in cell) {
          const { error, cannot, status } = result
          assert.notEqual(status, '200', 'it can: the matrix is wrong')
          assert.match(error ?? cannot ?? status ?? '', /\w+ \w+|401/, 'it says why')
          return
        }
        assert.deepEqual([result['status'], result['body']], ['200', trial.who], JSON.stringify(result))
        const [line] = await untilLines(({ kind, decision }) => kind === 'request' && decision === 'permit')
        assert.equal(line?.identity?.mechanism, trial.mechanism)
        const refused = await run(trial.wrong)
        // Java's tries three times by itself, and gives up.
        const gaveUp = /too many authentication attempts/.test(refused['error'] ?? '')
        assert(refused['status'] === '401' || gaveUp, JSON.stringify(refused))
        const [denied] = await untilLines(({ kind }) => kind === 'request')
        assert.equal(denied?.decision, 'deny')
        if (trial.closed === undefined) return
        const closed = await run(trial.closed)
        // Some do not even send it: the gateway names the authorities that it would take.
        assert(closed['status'] === '401' || /\w+ \w+/.test(closed['error'] ?? ''), JSON.stringify(closed))
      })
    }
  })
}

test('docs/clients.md has what was tried here', () => {
  const text = readPage()
  if (process.env['BAWN_CLIENTS'] === 'write') writeFileSync(page, rewritten(text, versions))
  else assert.equal(text, rewritten(text), 'run: npm run test:drivers -- --write')
  assert.deepEqual(namedInVersions(readPage()), clientNames)
})
