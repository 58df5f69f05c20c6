import type { OptionsSchema } from '../plugin.ts'
import { isObject, isThenable, printable } from './border.ts'

/** Something wrong with what is written, in the plug-in's words; never throws them on. */
export interface WrittenProblem {
  readonly path: readonly (string | number)[]
  readonly message: string
}

/** Has a plug-in judge what the configuration says. Does not throw: a schema that does has found something wrong. */
export function checkOptions(schema: OptionsSchema, written: unknown): readonly WrittenProblem[] {
  let reading: unknown
  try {
    // A copy: the file is not a schema's to change.
    reading = schema['~standard'].validate(structuredClone(written))
  } catch (cause) {
    return [
      {
        path: [],
        message: `the plug-in cannot read its options (${cause instanceof Error ? cause.name : 'it threw'})`,
      },
    ]
  }
  if (isThenable(reading)) {
    void Promise.resolve(reading).catch(() => {})
    return [{ path: [], message: 'the plug-in reads its options later, and they are needed at once' }]
  }
  const issues = isObject(reading) ? reading['issues'] : 'none'
  if (issues === undefined) return []
  if (!Array.isArray(issues) || issues.length === 0)
    return [{ path: [], message: 'the plug-in cannot read its options' }]
  return issues.map((issue: unknown) => {
    const { message, path } = isObject(issue) ? issue : {}
    return { path: readPath(path), message: printable(typeof message === 'string' ? message : 'is wrong') }
  })
}

function readPath(path: unknown): readonly (string | number)[] {
  if (!Array.isArray(path)) return []
  return path.map((step: unknown) => {
    const key = isObject(step) ? step['key'] : step
    return typeof key === 'number' ? key : String(key)
  })
}
