import { randomUUID } from 'node:crypto'
import type { Operator } from './admin/door.ts'
import { AdminError } from './admin/error.ts'
import { type RevocationChoice, type RevocationRow, revocationRow } from './admin/revocations.ts'
import type { AuditTrail } from './audit/event.ts'
import { apiKeyHash } from './authn/api-key.ts'
import type { Config } from './config/load.ts'
import type { RevokedTarget } from './tokens/revoked/entry.ts'
import type { RevokedDesk } from './tokens/revoked/remote.ts'

/** What operators do with revocations. Each has its line in the trail first; where that cannot be written, nothing happens. */
export interface RevocationControl {
  revoke(choice: RevocationChoice, by: Operator): Promise<RevocationRow>
  /** @returns whether it was revoked */
  restore(choice: RevocationChoice, by: Operator): Promise<boolean>
  list(): Promise<readonly RevocationRow[]>
  find(target: RevokedTarget): Promise<RevocationRow | undefined>
}

/** @throws {AdminError} `admin.no_revocations` when the configuration keeps none */
export function controlRevocations(
  revoked: RevokedDesk | undefined,
  config: Config,
  { trail, clock }: { readonly trail: AuditTrail; readonly clock: () => number },
): RevocationControl {
  if (revoked === undefined) throw new AdminError('admin.no_revocations', 'the configuration has no revocations')
  const audited = async <Result>(
    action: string,
    target: RevokedTarget,
    by: Operator,
    work: () => Promise<Result>,
  ): Promise<Result> => {
    const tell = (decision: 'permit' | 'error'): void => {
      trail.emit({
        kind: 'admin',
        requestId: randomUUID(),
        door: 'admin',
        identity: undefined,
        claimedName: by.name,
        address: by.address,
        action,
        resource: nameOf(target),
        decision,
        rule: 'admin token',
      })
      trail.commit()
    }
    tell('permit')
    try {
      return await work()
    } catch (error) {
      // It may have come into force all the same: a store that does not answer may have kept it.
      tell('error')
      throw error
    }
  }
  return {
    async revoke({ target: stated, notBefore, keepMs }, by) {
      const target = known(await settled(stated, config, revoked), config)
      // Of a whole issuer: what it issues from now on is good.
      const before = notBefore ?? (target.kind === 'issuer' ? clock() : undefined)
      const revocation = { target, notBefore: before, keepMs }
      return revocationRow(await audited('token revoke', target, by, () => revoked.revoke(revocation)))
    },
    async restore(choice, by) {
      // It need not be in the configuration: what was revoked under another one has to be restored too.
      const target = await settled(choice.target, config, revoked)
      return audited('token restore', target, by, () => revoked.restore(target))
    },
    list: async () => (await revoked.list()).map(revocationRow),
    async find(stated) {
      const target = await settled(stated, config, revoked)
      const found = (await revoked.find(target)) ?? (await revoked.find(ofAllKeys(target, config)))
      return found && revocationRow(found)
    },
  }
}

function nameOf(target: RevokedTarget): string {
  switch (target.kind) {
    case 'claim':
      return `${target.claim}=${target.value}${target.issuer === undefined ? '' : ` of ${target.issuer}`}`
    case 'issuer':
      return `issuer ${target.issuer}`
    case 'api-key':
      return `API key ${target.name}`
    case 'api-key-hash':
      // As many digits as tell keys apart.
      return `API key ${target.hash.slice(0, 23)}`
  }
}

type ApiKey = NonNullable<Config['mechanisms']['api-key']>['keys'][number]

const keysOf = ({ mechanisms }: Config): readonly ApiKey[] => mechanisms['api-key']?.keys ?? []

/** The beginning of a hash that may stand for all of it. */
const hashForm = /^sha256:[0-9a-f]{8,64}$/

/**
 * What is meant by what was stated, of the configuration or of the list. A stated API key becomes its hash here, before anything is told
 * to the store or the trail.
 *
 * @throws {AdminError} `admin.revocation` when several are meant
 */
async function settled(stated: RevokedTarget, config: Config, revoked: RevokedDesk): Promise<RevokedTarget> {
  if (stated.kind !== 'api-key') return withIssuer(stated, config)
  const targets = (await revoked.list()).map(({ target }) => target)
  const keys = keysOf(config)
  const isName = ({ name }: { readonly name: string }): boolean => name === stated.name
  if (keys.some(isName) || targets.some(target => target.kind === 'api-key' && isName(target))) return stated
  if (!hashForm.test(stated.name)) return { kind: 'api-key-hash', hash: apiKeyHash(stated.name) }
  const listed = targets.flatMap(target => (target.kind === 'api-key-hash' ? [target.hash] : []))
  const [hash = stated.name, second] = new Set(
    [...keys.map(key => key.hash), ...listed].filter(one => one.startsWith(stated.name)),
  )
  if (second !== undefined) throw new AdminError('admin.revocation', 'several API keys have a hash that begins so')
  return { kind: 'api-key-hash', hash }
}

/** Of one API key: all of its name. */
function ofAllKeys(target: RevokedTarget, config: Config): RevokedTarget {
  if (target.kind !== 'api-key-hash') return target
  const name = keysOf(config).find(({ hash }) => hash === target.hash)?.name
  return name === undefined ? target : { kind: 'api-key', name }
}

/** With the `iss` of an issuer in the place of its name. */
function withIssuer(target: RevokedTarget, { issuers }: Config): RevokedTarget {
  if (target.kind === 'api-key' || target.kind === 'api-key-hash' || target.issuer === undefined) return target
  const named = Object.hasOwn(issuers, target.issuer) ? issuers[target.issuer] : undefined
  return named === undefined ? target : { ...target, issuer: named.issuer }
}

/** A name that nobody has would take nothing back, and whoever typed it would believe otherwise. @throws {AdminError} `admin.revocation` */
function known(target: RevokedTarget, config: Config): RevokedTarget {
  const { issuers, mechanisms } = config
  if (target.kind === 'api-key' || target.kind === 'api-key-hash') {
    const isMeant = ({ name, hash }: ApiKey): boolean =>
      target.kind === 'api-key' ? name === target.name : hash === target.hash
    if (keysOf(config).some(isMeant)) return target
    throw new AdminError('admin.revocation', 'no API key has this name or hash, and none is this one')
  }
  const values = [...Object.values(issuers).map(({ issuer }) => issuer), mechanisms.introspection?.issuer]
  if (target.issuer === undefined || values.includes(target.issuer)) return target
  throw new AdminError('admin.revocation', 'no issuer of the configuration is called so')
}
