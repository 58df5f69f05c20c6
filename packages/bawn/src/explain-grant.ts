import type { GrantTarget, Need } from './accounts/grant.ts'
import { identityOfAccount } from './authn/identity.ts'
import type { Config } from './config/load.ts'
import { type Asking, type ExplainSurroundings, identify } from './explain.ts'
import { type Explanation, Steps } from './explanation.ts'
import type { OpenGrantGate } from './policy/grant-gate.ts'
import { isEnforced } from './policy/option.ts'

/** Who would do what. */
export interface GrantQuestion {
  readonly need: Need
  /** An account of the store that holds the grants; `undefined`: `asking` says who it is. */
  readonly user: string | undefined
  readonly asking: Exclude<Asking, { readonly kind: 'nobody' }> | undefined
}

export interface ExplainGrantSurroundings extends Pick<ExplainSurroundings, 'authenticate' | 'findAccount' | 'kinds'> {
  readonly grants: Pick<OpenGrantGate, 'gate' | 'explain'>
}

/** Why a statement that needs this would be permitted or refused. @param store that holds the grants */
export async function explainGrant(
  config: Config,
  store: string,
  { need, user, asking }: GrantQuestion,
  surroundings: ExplainGrantSurroundings,
): Promise<Explanation> {
  const steps = new Steps()
  const place = whereEnforced(config, need.target)
  if (place !== undefined) steps.add('database', place)
  const identity = await (async () => {
    if (asking !== undefined) {
      const outcome = await identify(asking, 'somebody', { ...surroundings, grants: undefined })
      if (outcome?.kind === 'identified') return outcome.identity
      steps.add('identity', `the token is not accepted: ${outcome?.kind === 'rejected' ? outcome.reason : 'absent'}`)
      return undefined
    }
    const found = await surroundings.findAccount(user ?? '')
    if (found?.store === store) {
      if (found.account.locked) steps.add('identity', `${found.account.name} is locked: nobody can log in as them`)
      return identityOfAccount(found.account, store, 'scram')
    }
    const where = found === undefined ? '' : `: the name is of an account in ${found.store}, which holds no grants`
    steps.add('identity', `no account of ${store} is called ${user}${where}`)
    return undefined
  })()
  if (identity === undefined) return steps.end('refused', 'nobody')
  const roles = identity.roles.length > 0 ? `roles ${identity.roles.join(', ')}` : 'no roles'
  const from = asking === undefined ? `, an account of ${store}` : ', by roles alone'
  steps.add('identity', `${identity.id} (${roles})${from}`)
  steps.add('grants', ...surroundings.grants.explain(identity, need))
  const decision = surroundings.grants.gate.decide(identity, [need])
  return steps.end(decision.kind === 'permit' ? 'permitted' : 'refused', decision.rule)
}

function whereEnforced(config: Config, target: GrantTarget): string | undefined {
  if (target.kind === 'cluster') return undefined
  return isEnforced(config.grants, target.database)
    ? `${target.database}: every statement needs its grants`
    : `${target.database}: no statement is refused for lack of a grant, for grants.databases does not name it`
}
