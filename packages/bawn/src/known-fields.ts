import type { Config } from './config/load.ts'
import { compileDisclosure } from './fields/disclosure.ts'
import type { Disclosure, Field } from './fields/field.ts'
import { parseField } from './fields/parse.ts'

/** A field, and what each role sees of it: all that can be known without keys. */
export interface KnownField {
  readonly field: Field
  disclosure(roles: readonly string[]): Disclosure
}

/** @throws {FieldError} `fields.invalid` */
export function fieldsOf(config: Config): readonly KnownField[] {
  const databases = Object.keys(config.databases)
  return config.fields.map(options => ({
    field: parseField(options, databases),
    disclosure: compileDisclosure(options.name, options.reveal),
  }))
}

/** What a role sees, in words. */
export function disclosureText(disclosure: Disclosure): string {
  switch (disclosure.kind) {
    case 'plain':
      return `shown plain, by ${disclosure.rule}`
    case 'masked':
      return `masked, by ${disclosure.rule}: someone@example.com is shown as ${disclosure.mask('someone@example.com')}`
    case 'withheld':
      return `withheld, by ${disclosure.rule}`
  }
}
