import { type Identity, identityClass } from '../authn/identity.ts'
import { GatewayError } from '../error.ts'
import { KeyError } from '../keys/error.ts'
import type { Keystore } from '../keys/keystore.ts'
import { compileDisclosure, type DisclosureRule } from './disclosure.ts'
import { FieldError } from './error.ts'
import type { Catalogue, Field, FieldView } from './field.ts'
import type { FieldOptions } from './option.ts'
import { parseField, refuseDuplicates } from './parse.ts'
import { createSealing, missingKey } from './sealing.ts'
import { createFieldView } from './view.ts'

export interface CatalogueSurroundings {
  readonly keystore: Keystore
  /** Whose keys protect fields that name no client id of their own. */
  readonly defaultClientId: string
  /** Names of the configured databases. */
  readonly databases: readonly string[]
}

interface CompiledField {
  readonly options: FieldOptions
  readonly rule: DisclosureRule
  /** By class of identity, oldest first. */
  readonly views: Map<string, FieldView>
}

/** Classes come from tokens and certificates, so somebody outside decides how many there are. */
const maxViewsPerField = 1000

/**
 * Compiles the declared fields. A field whose client id is fixed must have its keys now: that it cannot be sealed should stop the start
 * and not a customer's INSERT.
 *
 * @throws {FieldError} `fields.invalid`, `fields.no_key`
 */
export function createCatalogue(options: readonly FieldOptions[], surroundings: CatalogueSurroundings): Catalogue {
  const { keystore, defaultClientId, databases } = surroundings
  const compiled = new Map<Field, CompiledField>()
  for (const own of options) {
    const field = parseField(own, databases)
    compiled.set(field, { options: own, rule: compileDisclosure(field.name, own.reveal), views: new Map() })
  }
  const fields = Object.freeze([...compiled.keys()])
  refuseDuplicates(fields)
  for (const [field, { options: own }] of compiled) {
    if (field.encrypt !== undefined && typeof own.client_id !== 'object') {
      requireKeys(field, own.client_id ?? defaultClientId, keystore)
    }
  }
  const byName = new Map(fields.map(field => [field.name, field]))

  const createView = (field: Field, own: CompiledField, identity: Identity): FieldView => {
    const wanted = own.options.client_id
    const clientId = typeof wanted === 'object' ? identity.clientId : (wanted ?? defaultClientId)
    const sealing = createSealing(field, clientId, keystore)
    return createFieldView(field, own.rule(identity.roles), sealing, own.options.unreadable)
  }

  return Object.freeze<Catalogue>({
    fields,
    find: name => byName.get(name),
    view(field, identity) {
      const own = compiled.get(field)
      if (own === undefined) throw new GatewayError('gateway.bug', `field ${field.name} is not of this catalogue`)
      const identityKey = identityClass(identity)
      const known = own.views.get(identityKey)
      if (known !== undefined) return known
      const view = createView(field, own, identity)
      if (own.views.size >= maxViewsPerField) {
        for (const oldest of own.views.keys()) {
          own.views.delete(oldest)
          break
        }
      }
      own.views.set(identityKey, view)
      return view
    },
  })
}

function requireKeys(field: Field, clientId: string, keystore: Keystore): void {
  let missing: string | undefined
  try {
    missing = missingKey(field, keystore.client(clientId))
  } catch (cause) {
    if (!(cause instanceof KeyError)) throw cause
    throw new FieldError('fields.no_key', `field ${field.name} has no usable keys: ${cause.message}`, { cause })
  }
  if (missing !== undefined) {
    throw new FieldError('fields.no_key', `field ${field.name} needs ${missing} of client id ${clientId}`)
  }
}
