import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { spawnCompanion } from '@bawn/demo/companion'
import { freePort } from '@bawn/demo/listen'

// The example of the five scenarios, as a reader has it: every command of its README is run as it stands there, in three shells, on other ports.

const root = join(import.meta.dirname, '../..')
// Two levels below the root, as the example is: its README leads to node_modules from there.
const folder = mkdtempSync(join(root, 'test/.http-scenarios-'))
const terminals: ChildProcess[] = []
const ports = { web: 0, secure: 0, provider: 0, backend: 0 }
let blocks: readonly { readonly heading: string; readonly commands: string }[] = []
let backendSaid = (): string => ''

before(async () => {
  const { status } = spawnSync('curl', ['--version'], { stdio: 'ignore' })
  assert.equal(status, 0, 'curl is not installed; on Debian: apt-get install curl')
  cpSync(join(root, 'examples/http-scenarios'), folder, { recursive: true })
  for (const name of ['web', 'secure', 'provider', 'backend'] as const) ports[name] = await freePort()
  for (const name of ['bawn.yaml', 'parts.ts', 'README.md']) {
    const text = readFileSync(join(folder, name), 'utf8')
    const own: Record<string, number> = {
      8080: ports.web,
      8443: ports.secure,
      9000: ports.provider,
      3000: ports.backend,
    }
    writeFileSync(
      join(folder, name),
      text.replace(/\b(?:8080|8443|9000|3000)\b/g, port => String(own[port])),
    )
  }
  const readme = readFileSync(join(folder, 'README.md'), 'utf8')
  blocks = readme.split(/^## /m).flatMap(section => {
    const heading = section.split('\n', 1)[0] ?? ''
    return [...section.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, commands = '']) => ({ heading, commands }))
  })
  assert.equal(blocks[1]?.heading, 'Run it')
  backendSaid = await terminal(blocks[0]?.commands ?? '', /^ready: /m)
  await terminal(blocks[1].commands, /^listening: secure .*\n/m)
})

after(async () => {
  for (const shell of terminals.reverse()) {
    if (shell.exitCode !== null || shell.signalCode !== null) continue
    const ended = once(shell, 'close')
    shell.kill('SIGTERM')
    shell.kill('SIGTERM')
    await ended
  }
  rmSync(folder, { recursive: true, force: true })
})

/** Runs the commands in a shell of their own, whose last one stays. @returns what it has said on standard output */
async function terminal(commands: string, ready: RegExp): Promise<() => string> {
  // So that ending the shell ends what it runs.
  const script = `set -e\n${commands.replace(/\n(?=[^\n]*\n$)/, '\nexec ')}`
  const options = { atOurDeath: 'TERM', cwd: folder, env: process.env, stdout: 'pipe' } as const
  const shell = spawnCompanion('/bin/sh', ['-c', script], options)
  terminals.push(shell)
  let said = ''
  let erred = ''
  shell.stderr?.setEncoding('utf8').on('data', (text: string) => {
    erred += text
  })
  await new Promise<void>((resolve, reject) => {
    shell.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (ready.test(said)) resolve()
    })
    shell.once('close', () => reject(new Error(`it ended:\n${commands}${said}${erred}`)))
  })
  return () => said
}

interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
}

/** What `curl -i` printed; of several answers the last. */
function lastAnswer(output: string): Answer {
  const last = output.slice(output.lastIndexOf('HTTP/1.1 '))
  const [head = '', body = ''] = last.split(/\r\n\r\n([\s\S]*)/)
  return { status: Number(head.slice(9, 12)), head, body }
}

type Wanted =
  /** Exactly this has reached the backend. @property headers besides Host, Accept, X-Forwarded-* and X-Request-Id */
  | { readonly url: string; readonly headers: Readonly<Record<string, string>>; readonly https?: true }
  /** Refused. @property code of the gateway, or `backend` or `provider` where they refuse themselves */
  | { readonly by: string; readonly challenge?: string }

const bearer = 'Bearer realm="bawn"'
const badToken = `${bearer}, error="invalid_token", error_description="The token is not accepted"`
const noScope = `${bearer}, error="insufficient_scope"`
const nobody: Wanted = { by: 'authn.required', challenge: bearer }
const bob: Wanted = { by: 'policy.denied', challenge: noScope }
const alice = { 'x-user': 'alice', 'x-roles': 'staff' }
const gateway = { authorization: 'a token of gateway' }
const wanted: Readonly<Record<string, readonly Wanted[]>> = {
  '1. None': [
    { url: '/none?page=2', headers: {} },
    { by: 'authn.failed', challenge: badToken },
  ],
  '2. Delegated': [
    { url: '/delegated', headers: { authorization: 'the password of dora' } },
    { by: 'backend', challenge: 'Basic realm="backend"' },
    { by: 'backend', challenge: 'Basic realm="backend"' },
  ],
  '3. Client': [
    { url: '/client', headers: alice },
    nobody,
    { by: 'authn.failed', challenge: badToken },
    bob,
    { url: '/client/key', headers: { 'x-user': 'nightly', 'x-roles': 'staff' } },
    { by: 'authn.failed' },
    { by: 'authn.failed' },
    { url: '/client/certificate', headers: { 'x-user': 'billing-service', 'x-roles': 'staff' }, https: true },
    { by: 'authn.required' },
    { by: 'authn.failed', challenge: badToken },
  ],
  '4. Client and gateway': [
    { url: '/client-and-gateway', headers: { ...alice, ...gateway } },
    bob,
    nobody,
    { by: 'backend', challenge: 'Bearer' },
  ],
  '5. Gateway only': [
    { url: '/gateway', headers: gateway },
    { by: 'backend', challenge: 'Bearer' },
  ],
  'The identity provider behind the gateway': [{ by: 'provider' }, { by: 'http.rate_limited' }],
}

function check(command: string, { status, head, body }: Answer, want: Wanted): void {
  const expected = Number(/# ([0-9]{3})$/.exec(command)?.[1])
  assert.equal(status, expected, `${command}\n${head}\n${body}`)
  const answer = JSON.parse(body)
  if ('url' in want) {
    const id = /^X-Request-Id: (\S+)\r?$/m.exec(head)?.[1]
    assert(id !== undefined && id.length >= 16, head)
    const received = {
      ...{ method: 'GET', url: want.url },
      headers: {
        host: `127.0.0.1:${ports.backend}`,
        accept: '*/*',
        'x-forwarded-for': '127.0.0.1',
        'x-forwarded-proto': want.https ? 'https' : 'http',
        'x-forwarded-host': `127.0.0.1:${want.https ? ports.secure : ports.web}`,
        'x-request-id': id,
        ...want.headers,
      },
    }
    assert.deepEqual(answer, received, command)
    return
  }
  if (want.by === 'backend') assert.equal(answer.error, 'the backend does not know you', command)
  else if (want.by === 'provider') assert.equal(answer.error, 'invalid_client', command)
  else assert.equal(answer.code, want.by, command)
  const challenges = [...head.matchAll(/^WWW-Authenticate: (.*?)\r?$/gm)].map(([, value]) => value)
  if (want.by !== 'provider') {
    assert.deepEqual(challenges, want.challenge === undefined ? [] : [want.challenge], command)
  }
  if (status === 429) {
    assert.match(head, /^Retry-After: (?:[1-9]|10)\r?$/m, command)
    assert.match(head, /^RateLimit-Policy: "route";q=6;w=60\r?$/m, command)
  }
}

test('every command of the README works, and each backend receives what its route says', async () => {
  const commands = blocks.slice(2).flatMap(({ heading, commands: text }) =>
    text
      .trimEnd()
      .split('\n')
      .map(command => ({ heading, command })),
  )
  const mark = '@@ the next command @@'
  const script = commands.map(({ command }) => `${command}\nprintf '${mark}%s' $?`).join('\n')
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', script], { cwd: folder })
  // What a command printed stands before its mark, and its exit status behind it.
  const outputs = stdout.split(new RegExp(`${mark}([0-9]+)`))
  const asked: Record<string, [string, Answer][]> = {}
  for (const [at, { heading, command }] of commands.entries()) {
    const output = outputs[2 * at] ?? ''
    assert.equal(outputs[2 * at + 1], '0', `${command}\n${output}`)
    if (output === '') assert.doesNotMatch(command, /curl -si/)
    else asked[heading] = [...(asked[heading] ?? []), [command, lastAnswer(output)]]
  }
  assert.deepEqual(Object.keys(asked), Object.keys(wanted))
  for (const [heading, answers] of Object.entries(asked)) {
    assert.equal(answers.length, wanted[heading]?.length, heading)
    for (const [at, [command, answer]] of answers.entries()) {
      check(command, answer, wanted[heading]?.[at] ?? assert.fail())
    }
  }

  // What the gateway has refused, the backend has never heard of.
  const reached = [...backendSaid().matchAll(/^([0-9]{3}) \{/gm)].map(([, status]) => status)
  const all = Object.values(wanted).flat()
  const answeredThere = all.filter(want => 'url' in want || want.by === 'backend')
  assert.deepEqual(
    reached,
    answeredThere.map(want => ('url' in want ? '200' : '401')),
  )
  for (const secret of [
    'wonderland',
    'bawn_qCHb',
    'explorer',
    readFileSync(join(folder, 'made/gateway.secret'), 'utf8'),
  ]) {
    assert(!readFileSync(join(folder, 'data/audit.jsonl'), 'utf8').includes(secret), 'a secret is in the audit trail')
  }
})
