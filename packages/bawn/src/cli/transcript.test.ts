import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { run } from './main.ts'

// Every file of testdata/ is a session in an empty folder: files it begins with (`-- name --`), then commands (`$ `), what they print
// on both streams in order, and their exit status where it is not 0 (`[1]`). A line `< text` after a command is its standard input.
// `{{…}}` stands for a regular expression; a line `...` for any lines. `BAWN_TRANSCRIPTS=write` writes down what is printed now
// where it differs.

const folder = join(import.meta.dirname, 'testdata')
const now = Date.UTC(2026, 0, 2, 3, 4, 5)

interface Step {
  readonly command: string
  readonly stdin: string | undefined
  readonly expected: string
  readonly status: number
}

interface Session {
  readonly head: string
  readonly files: readonly { readonly name: string; readonly text: string }[]
  readonly steps: readonly Step[]
}

function parseSession(text: string): Session {
  const at = text.search(/^\$ /m)
  const head = text.slice(0, at)
  const files = [...head.matchAll(/^-- (\S+) --\n((?:(?!-- \S+ --$).*\n)*)/gm)].map(([, name = '', body = '']) => ({
    name,
    text: body,
  }))
  const steps = text
    .slice(at)
    .split(/^(?=\$ )/m)
    .map(block => {
      const lines = block.replace(/\n*$/, '').split('\n')
      const command = (lines.shift() ?? '').slice(2)
      const stdin: string[] = []
      while (lines[0]?.startsWith('< ')) stdin.push((lines.shift() ?? '').slice(2))
      const status = /^\[(\d)\]$/.exec(lines.at(-1) ?? '')
      if (status) lines.pop()
      return {
        command,
        stdin: stdin.length > 0 ? `${stdin.join('\n')}\n` : undefined,
        expected: lines.join('\n'),
        status: Number(status?.[1] ?? 0),
      }
    })
  return { head, files, steps }
}

/** Words as a POSIX shell would cut them, without expansion. */
function words(command: string): string[] {
  return [...command.matchAll(/(?:'([^']*)'|"([^"]*)"|[^\s'"]+)+/g)].map(([whole]) =>
    whole.replace(/'([^']*)'|"([^"]*)"/g, (_, single?: string, double?: string) => single ?? double ?? ''),
  )
}

function pattern(expected: string): RegExp {
  const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  const source = expected
    .split('\n')
    .map(line =>
      line === '...'
        ? '[^]*?'
        : line
            .split(/(\{\{.*?\}\})/)
            .map(part => (part.startsWith('{{') ? `(?:${part.slice(2, -2)})` : literal(part)))
            .join(''),
    )
    .join('\n')
  return new RegExp(`^${source}$`)
}

async function play(step: Step, cwd: string): Promise<{ output: string; status: number }> {
  const all = words(step.command)
  const env: NodeJS.ProcessEnv = {}
  while (/^[A-Z_]+=/.test(all[0] ?? '')) {
    const [name = '', ...value] = (all.shift() ?? '').split('=')
    env[name] = value.join('=')
  }
  assert.equal(all.shift(), 'bawn', step.command)
  let output = ''
  const take = (text: string): void => {
    output += text
  }
  const stdin = Readable.from(step.stdin === undefined ? [] : [Buffer.from(step.stdin)])
  const status = await run(all, { stdin, out: take, err: take, env, cwd, now: () => now })
  return { output: output.replaceAll(cwd, '$WORK').trimEnd(), status }
}

for (const name of readdirSync(folder).filter(file => file.endsWith('.txt'))) {
  test(name.replace('.txt', ''), async () => {
    const path = join(folder, name)
    const session = parseSession(readFileSync(path, 'utf8'))
    const cwd = mkdtempSync(join(tmpdir(), 'bawn-cli-'))
    try {
      for (const file of session.files) {
        mkdirSync(dirname(join(cwd, file.name)), { recursive: true })
        writeFileSync(
          join(cwd, file.name),
          file.text.replace(/^<<(.*)>>\n+$/, (_, from) => example(from)),
          { mode: 0o600 },
        )
      }
      const written: string[] = [session.head]
      for (const step of session.steps) {
        const { output, status } = await play(step, cwd)
        const shown = pattern(step.expected).test(output) ? step.expected : output
        const stdin = (step.stdin ?? '').replace(/^(?=.)/gm, '< ')
        written.push(
          `$ ${step.command}\n${stdin}${shown === '' ? '' : `${shown}\n`}${status === 0 ? '' : `[${status}]\n`}\n`,
        )
        if (process.env['BAWN_TRANSCRIPTS'] === 'write') continue
        assert.match(output, pattern(step.expected), `$ ${step.command}\n${output}`)
        assert.equal(status, step.status, `$ ${step.command}\n${output}`)
      }
      if (process.env['BAWN_TRANSCRIPTS'] === 'write') writeFileSync(path, written.join('').replace(/\n+$/, '\n'))
    } finally {
      rmSync(cwd, { recursive: true })
    }
  })
}

/** `<<example>>` as a file's whole text: the commented example of the configuration. */
function example(name: string): string {
  assert.equal(name, 'example')
  return readFileSync(join(import.meta.dirname, '../config/example.yaml'), 'utf8')
}
