import { randomUUID } from 'node:crypto'
import type { Operator } from './admin/door.ts'
import { AdminError } from './admin/error.ts'
import { type RevocationChoice, type RevocationRow, revocationRow } from './admin/revocations.ts'
import type { AuditTrail } from './audit/event.ts'
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
      const target = known(stated, config)
      // Of a whole issuer: what it issues from now on is good.
      const before = notBefore ?? (target.kind === 'issuer' ? clock() : undefined)
      const revocation = { target, notBefore: before, keepMs }
      return revocationRow(await audited('token revoke', target, by, () => revoked.revoke(revocation)))
    },
    restore(choice, by) {
      // Not looked up in the configuration: what was revoked under another one has to be restored too.
      const target = withIssuer(choice.target, config)
      return audited('token restore', target, by, () => revoked.restore(target))
    },
    list: async () => (await revoked.list()).map(revocationRow),
    async find(target) {
      const found = await revoked.find(target)
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
  }
}

/** With the `iss` of an issuer in the place of its name. */
function withIssuer(target: RevokedTarget, { issuers }: Config): RevokedTarget {
  if (target.kind === 'api-key' || target.issuer === undefined) return target
  const named = Object.hasOwn(issuers, target.issuer) ? issuers[target.issuer] : undefined
  return named === undefined ? target : { ...target, issuer: named.issuer }
}

/** A name that nobody has would take nothing back, and whoever typed it would believe otherwise. @throws {AdminError} `admin.revocation` */
function known(stated: RevokedTarget, config: Config): RevokedTarget {
  const { issuers, mechanisms } = config
  const target = withIssuer(stated, config)
  if (target.kind === 'api-key') {
    if (mechanisms['api-key']?.keys.some(({ name }) => name === target.name) === true) return target
    throw new AdminError('admin.revocation', 'no API key has this name')
  }
  const values = [...Object.values(issuers).map(({ issuer }) => issuer), mechanisms.introspection?.issuer]
  if (target.issuer === undefined || values.includes(target.issuer)) return target
  throw new AdminError('admin.revocation', 'no issuer of the configuration is called so')
}
