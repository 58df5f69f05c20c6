import { z } from 'zod'
import { type Frozen, name } from '../option.ts'
import { maxTextLength } from '../policy/cel/parser.ts'
import { namesIn } from './row-condition.ts'

/** Where a hint goes that is in no token. Callers' headers of this family never pass. */
export const defaultHintHeader = 'X-Bawn-Hints'

/** Of whoever asks; every other name stands in `values`. */
const ownNames = ['user', 'roles']

const valueName = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be a-z, 0-9, "_", at most 63')
  .refine(text => !ownNames.includes(text), 'user and roles are there already')

const rowsOptions = z
  .strictObject({
    for: z
      .array(name.refine(text => text !== 'acl', 'the acl decides about requests to routes, and about nothing else'))
      .min(1)
      .describe('policies; one that permits is enough'),
    where: z
      .union([z.string().min(1).max(4_096), z.record(z.string().min(1), z.unknown())])
      .describe(
        'condition for the backend: a text, in which @user, @roles and names of values stand for values that go beside it; or JSON, in which a text that is such a name becomes the value',
      ),
    values: z
      .record(valueName, z.string().min(1).max(maxTextLength))
      .default({})
      .describe('more values: expressions, as in policies, for a text, a number, true or false, or a list of them'),
  })
  .superRefine(({ where, values }, context) => {
    const used = namesIn(where)
    const known = [...ownNames, ...Object.keys(values)]
    for (const one of used) {
      if (known.includes(one)) continue
      const message = `no value is named @${one}; there are: ${known.map(each => `@${each}`).join(', ')}`
      context.addIssue({ code: 'custom', path: ['where'], message })
    }
    for (const one of Object.keys(values)) {
      if (!used.has(one))
        context.addIssue({ code: 'custom', path: ['values', one], message: `where does not have @${one}` })
    }
  })
export type RowsOptions = Frozen<z.output<typeof rowsOptions>>

export const hintsOptions = z
  .strictObject({
    header: z
      .string()
      .regex(/^[A-Za-z0-9-]+$/)
      .optional()
      .describe(
        `header that gets it. Default: ${defaultHintHeader}; with identity_headers.signed none, because it is the claim hints of that token`,
      ),
    rows: z
      .array(rowsOptions)
      .min(1)
      .optional()
      .describe('in order: the first entry that is for somebody decides; whom none is for is refused'),
    fields: z
      .array(name)
      .min(1)
      .optional()
      .describe('names of fields of which the backend learns whether the caller sees them plain, masked or withheld'),
    max_bytes: z.int().min(64).max(16_384).default(4_096).describe('of a hint, as JSON; a longer one is refused'),
  })
  .refine(({ rows, fields }) => rows !== undefined || fields !== undefined, 'needs rows, or fields, or both')
export type HintsOptions = Frozen<z.output<typeof hintsOptions>>

interface WithHints {
  readonly hints?: HintsOptions | undefined
  readonly identity_headers?:
    | {
        readonly id?: string | undefined
        readonly roles?: string | undefined
        readonly claims: Readonly<Record<string, string>>
        readonly signed?: unknown
      }
    | undefined
}

/** The header of a route's hints; `undefined` where it has none, or they are in a token. */
export function hintHeaderOf({ hints, identity_headers: identity }: WithHints): string | undefined {
  return hints === undefined || identity?.signed !== undefined ? undefined : (hints.header ?? defaultHintHeader)
}

/** What does not go together with `hints`. @param report gets the place inside the route, and what is wrong there */
export function hintProblems(route: WithHints, report: (path: string[], message: string) => void): void {
  const { hints, identity_headers: identity } = route
  if (hints?.header !== undefined && identity?.signed !== undefined) {
    report(['hints', 'header'], 'identity_headers.signed has a token, and hints are its claim hints: leave one out')
  }
  const header = hintHeaderOf(route)?.toLowerCase()
  const others = [identity?.id, identity?.roles, ...Object.keys(identity?.claims ?? {})]
  if (header !== undefined && others.some(other => other?.toLowerCase() === header)) {
    report(['hints', 'header'], 'identity_headers has this header already')
  }
}
