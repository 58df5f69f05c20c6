import type { Readable } from 'node:stream'

/** Where a command reads and writes; the real process, or a test. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean | undefined; setRawMode?(raw: boolean): unknown }
  out(text: string): void
  err(text: string): void
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export interface OptionSpec {
  /** Placeholder of its value (`FILE`); without one it is a switch. */
  readonly value?: string
  /** May be given several times. */
  readonly many?: true
  readonly short?: string
  readonly help: string
}

/** What a command was called with, already checked against its spec. */
export interface Input {
  /** The value of an option; `undefined` when it was not given. */
  text(option: string): string | undefined
  /** @throws {CliError} `cli.usage` when it was not given */
  need(option: string): string
  list(option: string): readonly string[]
  flag(option: string): boolean
  readonly positionals: readonly string[]
  readonly terminal: Terminal
}

/** 0: done; 1: refused, failed, or not so; 2: called wrongly. */
export type ExitCode = 0 | 1 | 2

export interface Command {
  /** `keys generate`; one or two words. */
  readonly name: string
  readonly summary: string
  /** Names of positional arguments, in order; one with `?` may be left out, one with `…` repeated. */
  readonly positionals?: readonly string[]
  readonly options: Readonly<Record<string, OptionSpec>>
  /** Shown below the options. */
  readonly notes?: readonly string[]
  run(input: Input): Promise<ExitCode>
}

export const configOption = {
  config: { value: 'FILE', short: 'c', help: 'configuration file (default: bawn.yaml)' },
} as const satisfies Record<string, OptionSpec>

export const jsonOption = {
  json: { help: 'one JSON document, for programs' },
} as const satisfies Record<string, OptionSpec>
