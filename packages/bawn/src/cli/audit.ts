import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { resolve } from 'node:path'
import { AuditError } from '../audit/error.ts'
import { describeVerification, verifyAudit } from '../audit/verify.ts'
import { openDirectoryKeystore } from '../keys/directory.ts'
import { type Command, configOption, type Input, jsonOption } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'
import { withMasterKey } from './keys.ts'
import { printable } from './terminal-text.ts'

/** The trail that the argument names, or the one of the configuration. */
async function auditFile(input: Input): Promise<string> {
  const [file] = input.positionals
  return file === undefined ? (await needConfig(input)).audit.file : resolve(input.terminal.cwd, file)
}

const verify: Command = {
  name: 'audit verify',
  summary: 'check that no line of the audit trail was changed, removed or added',
  positionals: ['FILE?'],
  options: {
    ...configOption,
    ...jsonOption,
    head: { value: 'HASH', help: 'a head noted earlier: shows whether lines were cut off at the end' },
  },
  notes: ['Note the head now and then, elsewhere: GET /audit/head of the admin door, or what this command prints.'],
  async run(input) {
    const head = input.text('head')
    if (head !== undefined && !/^[0-9a-f]{64}$/i.test(head)) {
      throw new CliError('cli.usage', '--head is 64 hexadecimal digits')
    }
    const key = await withMasterKey(input, (path, masterKey) => openDirectoryKeystore({ path, masterKey }).audit())
    const file = await auditFile(input)
    const result = await verifyAudit(file, key, { head })
    if (input.flag('json')) {
      input.terminal.out(`${JSON.stringify({ file, ...result })}\n`)
      return result.kind === 'intact' ? 0 : 1
    }
    if (result.kind === 'broken') throw new AuditError('audit.broken_chain', `${file}: ${describeVerification(result)}`)
    input.terminal.out(`${describeVerification(result)}\n`)
    return 0
  },
}

/** The last bytes of a file; whole lines only, unless one is longer than this. */
const tailBytes = 1_048_576

function lastLines(file: string, count: number): readonly string[] {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (cause) {
    throw new CliError('cli.failed', `the audit file ${file} cannot be read`, { cause })
  }
  try {
    const { size } = fstatSync(descriptor)
    const buffer = Buffer.alloc(Math.min(size, tailBytes))
    const length = readSync(descriptor, buffer, 0, buffer.length, size - buffer.length)
    const lines = buffer.subarray(0, length).toString('utf8').split('\n').slice(0, -1)
    return (buffer.length < size ? lines.slice(1) : lines).slice(-count)
  } finally {
    closeSync(descriptor)
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** One event as a line for people: when, where, who, what, how much was seen, and why. */
export function describeLine(line: string): string {
  let event: unknown
  try {
    event = JSON.parse(line)
  } catch {
    return `(not a line of a trail) ${printable(line.slice(0, 80))}`
  }
  if (!isRecord(event)) return '(not a line of a trail)'
  const identity = isRecord(event['identity']) ? textOf(event['identity']['id']) : ''
  const claimed = textOf(event['claimedName'])
  const fields = (Array.isArray(event['fields']) ? event['fields'] : [])
    .filter(isRecord)
    .map(use => `${textOf(use['field'])} ${textOf(use['as'])} ×${Number(use['count'])}`)
  const parts = [
    textOf(event['at']),
    textOf(event['door']),
    textOf(event['kind']),
    identity || (claimed === '' ? '–' : `(${claimed}?)`),
    textOf(event['action']),
    textOf(event['resource']),
    fields.length > 0 ? `[${fields.join(', ')}]` : '',
    textOf(event['decision']),
    `by ${textOf(event['rule'])}`,
    textOf(event['code']),
  ]
  return printable(parts.filter(part => part !== '' && part !== 'by ').join('  '))
}

const tail: Command = {
  name: 'audit tail',
  summary: 'print the last lines of the audit trail',
  positionals: ['FILE?'],
  options: {
    ...configOption,
    lines: { value: 'N', short: 'n', help: 'how many (default: 20)' },
    json: { help: 'as they are in the file' },
  },
  async run(input) {
    const count = Number(input.text('lines') ?? 20)
    if (!Number.isInteger(count) || count < 1 || count > 10_000) {
      throw new CliError('cli.usage', '--lines is a number from 1 to 10000')
    }
    for (const line of lastLines(await auditFile(input), count)) {
      input.terminal.out(`${input.flag('json') ? line : describeLine(line)}\n`)
    }
    return 0
  },
}

export const commands: readonly Command[] = [verify, tail]
