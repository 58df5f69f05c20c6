import { resolve } from 'node:path'
import type { KindSurroundings, OptionsSchema } from '../plugin.ts'
import { PluginError } from './error.ts'

// Everything that a plug-in is asked, is asked through a border: it has a time to answer in, and whatever it throws, or answers that is
// no answer, becomes "cannot decide".

/** Where a plug-in stands. */
export interface BorderOptions {
  /** Of the plug-in, in the configuration. */
  readonly name: string
  /** Of the configuration file: paths and secrets of options are relative to it. */
  readonly folder: string
  /** For each answer. */
  readonly timeoutMs: number
}

export interface Border extends BorderOptions {
  /** What went wrong, for the log: the plug-in's own words are not in it, for they may quote anything. */
  fault(what: string, why: string, cause?: unknown): PluginError
  /**
   * Asks, and believes nothing of the answer's type.
   *
   * @param what is asked: `mechanism badge`
   * @throws {PluginError} (rejects with) `plugins.failed`
   */
  ask(what: string, work: () => unknown): Promise<unknown>
  /** As `ask`, for what answers at once; the type of what a plug-in answers is `unknown`. @throws {PluginError} `plugins.failed` */
  askNow<Answer>(what: string, work: () => Answer): Answer
  /** Waits for an answer that is under way already. @throws {PluginError} (rejects with) `plugins.failed` */
  wait(what: string, answer: PromiseLike<unknown>): Promise<unknown>
}

export function createBorder(options: BorderOptions): Border {
  const { name, timeoutMs } = options
  const fault = (what: string, why: string, cause?: unknown): PluginError =>
    new PluginError('plugins.failed', `plug-in ${name}: ${what} ${why}`, cause === undefined ? {} : { cause })
  const askNow = <Answer>(what: string, work: () => Answer): Answer => {
    try {
      const answer = work()
      // Whoever wanted an answer at once waits for no promise; that it fails must not end the process.
      if (isThenable(answer)) void Promise.resolve(answer).catch(() => {})
      return answer
    } catch (cause) {
      throw cause instanceof PluginError ? cause : fault(what, 'threw', cause)
    }
  }
  const wait = async (what: string, answer: PromiseLike<unknown>): Promise<unknown> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(fault(what, `gave no answer within ${timeoutMs} ms`)), timeoutMs)
    })
    try {
      return await Promise.race([answer, late])
    } catch (cause) {
      throw cause instanceof PluginError ? cause : fault(what, 'threw', cause)
    } finally {
      clearTimeout(timer)
    }
  }
  return {
    ...options,
    fault,
    askNow,
    wait,
    async ask(what, work) {
      const answer = askNow(what, work)
      return isThenable(answer) ? wait(what, answer) : answer
    },
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return isObject(value) && typeof value['then'] === 'function'
}

/** What a plug-in has made, before anything of it is believed. */
export type Members = Readonly<Record<string, unknown>>

/** Something with members; a class's instance too. */
export function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null
}

/** A method of it, with itself as `this`; `undefined` when it has none of that name. */
export function methodOf(of: Members, name: string): ((...given: readonly unknown[]) => unknown) | undefined {
  const method = of[name]
  return typeof method === 'function' ? (...given) => Reflect.apply(method, of, given) : undefined
}

/** Options as the plug-in reads them. @throws {PluginError} `plugins.failed` when what was good in the file is not good any more */
export function parseOptions<Options>(
  border: Border,
  what: string,
  schema: OptionsSchema<Options>,
  written: unknown,
): Options {
  const reading = border.askNow(what, () => schema['~standard'].validate(structuredClone(written)))
  if (isThenable(reading) || reading.issues !== undefined) throw border.fault(what, 'reads its options in two ways')
  return reading.value
}

/** The surroundings of one kind: secrets and paths as its own options name them, a log under its own name. */
export function narrowSurroundings<Given extends KindSurroundings>(
  border: Border,
  what: string,
  written: unknown,
  surroundings: Given,
): Given {
  const texts = new Set<string>()
  collectTexts(written, texts)
  return {
    ...surroundings,
    log: (level, message) => surroundings.log(level, `plug-in ${border.name}: ${printable(String(message))}`),
    path: text => resolve(border.folder, text),
    secret: reference => {
      if (!texts.has(reference)) throw border.fault(what, 'asks for a secret that its options do not name')
      const isFile = reference.startsWith('file:')
      return surroundings.secret(isFile ? `file:${resolve(border.folder, reference.slice(5))}` : reference)
    },
  }
}

function collectTexts(value: unknown, texts: Set<string>): void {
  if (typeof value === 'string') texts.add(value)
  else if (isObject(value)) for (const inner of Object.values(value)) collectTexts(inner, texts)
}

const maxLogged = 500

/** On one line, and not without end. */
export function printable(text: string): string {
  return text.slice(0, maxLogged).replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '?')
}
