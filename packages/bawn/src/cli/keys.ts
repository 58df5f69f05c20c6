import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type ClientIdSource, clientIdOf } from '../authn/client-id.ts'
import { resolveSecret } from '../config/secret.ts'
import { type GeneratedKey, generateAuditKey, generateKeys } from '../keys/generate.ts'
import { auditKeyFile, type KeyKind, keyKinds } from '../keys/key-file.ts'
import { listKeys, publicKeyText } from '../keys/list.ts'
import { generateMasterKey, parseMasterKey } from '../keys/master-key.ts'
import { suggest } from '../nearest.ts'
import { type Command, configOption, type Input, jsonOption } from './command.ts'
import { needConfig } from './config.ts'
import { CliError } from './error.ts'

/** Calls with the unwrapped master key, and wipes it afterwards. */
export async function withMasterKey<T>(input: Input, work: (path: string, masterKey: Uint8Array) => T): Promise<T> {
  const { keys } = await needConfig(input)
  const secret = resolveSecret(keys.master, input.terminal.env)
  if (secret.warning !== undefined) input.terminal.err(`warning: ${secret.warning}\n`)
  const masterKey = parseMasterKey(secret.value)
  try {
    return work(keys.store.path, masterKey)
  } finally {
    masterKey.fill(0)
  }
}

function kindsOf(input: Input): readonly KeyKind[] {
  return input.list('kind').map(text => {
    const kind = keyKinds.find(known => known === text)
    if (kind !== undefined) return kind
    const suggestion = suggest(text, keyKinds)
    throw new CliError('cli.usage', `"${text}" is no kind of key`, suggestion === undefined ? {} : { suggestion })
  })
}

const generate: Command = {
  name: 'keys generate',
  summary: 'make keys: of a client id, of the audit chain, or a master key',
  options: {
    ...configOption,
    'client-id': { value: 'ID', help: 'keys of this client id; an earlier one is kept and still opens' },
    kind: { value: 'KIND', many: true, help: `only ${keyKinds.join(', ')} (default: all)` },
    audit: { help: 'only the key of the audit chain; it is made along where there is none' },
    master: { help: 'print a new master key in base64; needs no configuration' },
  },
  notes: ['Before the first start: bawn keys generate --master, then bawn keys generate --client-id ID.'],
  async run(input) {
    const { terminal } = input
    if (input.flag('master')) {
      terminal.out(`${generateMasterKey()}\n`)
      return 0
    }
    const clientId = input.text('client-id')
    if (clientId === undefined && !input.flag('audit')) {
      throw new CliError('cli.usage', 'which key? Add --client-id ID, --audit or --master')
    }
    const kinds = kindsOf(input)
    const made = await withMasterKey(input, (path, masterKey) => {
      const options = { path, masterKey, clock: terminal.now }
      // Whoever makes the first keys needs this one too, and a second one would break the chain.
      const isFirst = !existsSync(join(path, auditKeyFile))
      const all: GeneratedKey[] = input.flag('audit') || isFirst ? [generateAuditKey(options)] : []
      if (clientId !== undefined)
        all.push(...generateKeys({ ...options, clientId, ...(kinds.length > 0 ? { kinds } : {}) }))
      return all
    })
    for (const key of made) terminal.out(`${key.keyId}${key.rotated ? '  (the earlier one is kept)' : ''}\n`)
    return 0
  },
}

const list: Command = {
  name: 'keys list',
  summary: 'list the keys; opens none of them',
  options: { ...configOption, ...jsonOption },
  async run(input) {
    const { keys } = await needConfig(input)
    const found = listKeys({ path: keys.store.path })
    if (input.flag('json')) {
      input.terminal.out(`${JSON.stringify(found)}\n`)
      return 0
    }
    const width = Math.max(8, ...found.map(key => key.keyId.length)) + 2
    for (const key of found) {
      const state = key.state === 'current' ? 'current' : `rotated ${key.index}`
      const made = new Date(key.createdAt).toISOString().slice(0, 19)
      input.terminal.out(`${key.keyId.padEnd(width)}${state.padEnd(12)}${made}Z  ${key.purpose}\n`)
    }
    input.terminal.out(`${found.length} ${found.length === 1 ? 'key' : 'keys'} in ${keys.store.path}\n`)
    return 0
  },
}

const sources: readonly ClientIdSource[] = ['distinguished_name', 'serial_number']

const clientId: Command = {
  name: 'keys client-id',
  summary: 'print the client id of a certificate',
  options: {
    certificate: { value: 'PEM', help: 'file with the client’s certificate' },
    by: { value: 'WHAT', help: `${sources.join(' or ')} (default: ${sources[0]})` },
  },
  async run(input) {
    const by = input.text('by') ?? 'distinguished_name'
    const source = sources.find(known => known === by)
    if (source === undefined) throw new CliError('cli.usage', `--by is ${sources.join(' or ')}`)
    const path = input.need('certificate')
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(readFileSync(resolve(input.terminal.cwd, path)))
    } catch (cause) {
      throw new CliError('cli.failed', `${path} holds no certificate that can be read`, { cause })
    }
    input.terminal.out(`${clientIdOf(certificate, source)}\n`)
    return 0
  },
}

const publicKey: Command = {
  name: 'keys public',
  summary: 'print the public key that an application seals AcraStructs with',
  options: { ...configOption, 'client-id': { value: 'ID', help: 'whose key' } },
  async run(input) {
    const { keys } = await needConfig(input)
    input.terminal.out(`${publicKeyText({ path: keys.store.path, clientId: input.need('client-id') })}\n`)
    return 0
  },
}

export const commands: readonly Command[] = [generate, list, clientId, publicKey]
