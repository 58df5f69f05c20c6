import { nearest } from '../nearest.ts'
import { packageVersion } from '../version.ts'
import type { Command, ExitCode, Terminal } from './command.ts'
import { nouns } from './commands.ts'
import { CliError } from './error.ts'
import { commandHelp, overview } from './help.ts'
import { parseInput } from './parse.ts'
import { reportError } from './report.ts'

/** Every command, in the order of `nouns`. */
export async function allCommands(): Promise<readonly Command[]> {
  return (await Promise.all(Object.values(nouns).map(load => load()))).flat()
}

async function help(words: readonly string[]): Promise<string> {
  if (words.length === 0) return overview(await allCommands())
  const commands = await commandsOf(words[0] ?? '')
  const wanted = words.join(' ')
  const exact = commands.find(command => command.name === wanted)
  return (exact ? [exact] : commands).map(commandHelp).join('\n')
}

async function commandsOf(noun: string): Promise<readonly Command[]> {
  const load = Object.hasOwn(nouns, noun) ? nouns[noun] : undefined
  if (load) return load()
  const best = nearest(noun, [...Object.keys(nouns), 'help', 'version'])
  const suggestion = best === undefined ? 'See: bawn help' : `Did you mean: bawn ${best}?`
  throw new CliError('cli.usage', `there is no command "${noun}"`, { suggestion })
}

function findCommand(noun: string, verb: string | undefined, commands: readonly Command[]): Command {
  const exact =
    commands.find(command => command.name === `${noun} ${verb}`) ?? commands.find(command => command.name === noun)
  if (exact) return exact
  const verbs = commands.map(command => command.name.slice(noun.length + 1))
  if (verb === undefined || verb.startsWith('-')) {
    throw new CliError('cli.usage', `bawn ${noun} needs one of: ${verbs.join(', ')}`)
  }
  const best = nearest(verb, verbs)
  const suggestion = best === undefined ? `There are: ${verbs.join(', ')}` : `Did you mean: bawn ${noun} ${best}?`
  throw new CliError('cli.usage', `there is no command "${noun} ${verb}"`, { suggestion })
}

/**
 * Runs one command. Never throws: whatever goes wrong is printed.
 *
 * @param args what stands after `bawn`
 * @returns the exit status: 0 done, 1 refused or failed, 2 called wrongly
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [noun = 'help', verb] = args
  try {
    if (noun === 'version' || noun === '--version' || noun === '-V') {
      terminal.out(`bawn ${packageVersion()} (node ${process.version})\n`)
      return 0
    }
    if (noun === 'help' || noun === '--help' || noun === '-h') {
      terminal.out(await help(args.slice(1)))
      return 0
    }
    const commands = await commandsOf(noun)
    if (verb === '--help' || verb === '-h') {
      terminal.out(await help([noun]))
      return 0
    }
    const command = findCommand(noun, verb, commands)
    const input = parseInput(command, args.slice(command.name.split(' ').length), terminal)
    if (input === 'help') {
      terminal.out(commandHelp(command))
      return 0
    }
    return await command.run(input)
  } catch (error) {
    return reportError(error, terminal, args.includes('--json'))
  }
}

/** The process's own entry: runs, flushes what was printed, and ends. */
export async function main(args: readonly string[]): Promise<void> {
  // `bawn … | head` closes our output: nobody is left to be told.
  process.stdout.on('error', error => process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1))
  const code = await run(args, {
    stdin: process.stdin,
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    env: process.env,
    cwd: process.cwd(),
    now: Date.now,
  })
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}
