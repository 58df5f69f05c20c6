import { AccountError } from '../accounts/store.ts'
import { AuthnError } from '../authn/error.ts'
import type { MechanismName } from '../authn/identity.ts'
import { ConnectionLost } from './byte-input.ts'
import { PostgresError } from './failure.ts'
import { ask } from './login-questions.ts'
import { failed, judge, type LoginContext, type LoginResult, shown } from './login-result.ts'
import { passThrough } from './pass-through.ts'
import { type LoginQuestion, type PluggedQuestions, questionOf, type StartupRequest } from './startup-settings.ts'
import type { DoorState } from './state.ts'
import { WireError } from './wire/wire-error.ts'

/**
 * Asks the one question that the first matching host rule leads to, and judges the answer.
 *
 * A verified certificate is taken without a question where the rule uses certificates. Otherwise the first other mechanism of the rule
 * decides, unless the client asked for another one of it by `-c bawn.login=`. A rule that passes logins through does nothing else.
 *
 * @throws {WireError | ConnectionLost} when the client breaks the protocol or leaves
 */
export async function login(state: DoorState, request: StartupRequest, context: LoginContext): Promise<LoginResult> {
  const { user, database } = request
  const { address, tls } = context
  const match = await state.hostRules.match({ door: 'postgres', user, address, tls, database, route: undefined })
  if (match.kind === 'undecided') {
    return undecided(match.rule, new AuthnError('authn.host_undecided', match.why))
  }
  if (match.kind === 'none' || match.use.length === 0) {
    const error = new PostgresError(
      'postgres.login_refused',
      `no host rule permits user "${shown(user)}", database "${shown(database)}", ${context.tls ? 'TLS' : 'no TLS'}`,
    )
    return { kind: 'failed', error, rule: match.kind === 'none' ? 'no host rule' : match.rule, reason: 'no-rule' }
  }
  const { rule, use } = match
  try {
    const { certificate, revocation } = context
    const standing = certificate && (await revocation?.check(certificate))
    // Whoever shows such a certificate gets in by no other way either: its key is in the wrong hands.
    if (standing !== undefined && standing.kind !== 'good') {
      const reason = standing.kind === 'revoked' ? 'revoked' : 'certificate-unknown'
      return failed(request, rule, 'certificate', reason)
    }
    if (use.includes('pass-through')) return await passThrough(state, request, context, rule)
    if (use.includes('certificate') && context.certificate !== undefined && state.certificate !== undefined) {
      const outcome = await state.certificate.authenticate(context.certificate, user, state.now())
      return judge(outcome, request, rule, 'certificate')
    }
    const next = decidingMechanism(use, request.login, state.plugged)
    if (next === undefined) {
      return failed(request, rule, use.includes('certificate') ? 'certificate' : 'password', 'untrusted')
    }
    if (next !== 'trust') return await ask(next, state, request, context, rule)
    if (state.trust === undefined) return failed(request, rule, 'trust', 'unknown-user')
    return judge(await state.trust.authenticate(user), request, rule, 'trust')
  } catch (cause) {
    if (cause instanceof WireError || cause instanceof ConnectionLost) throw cause
    if (cause instanceof AccountError && cause.code === 'accounts.busy') {
      return { kind: 'failed', error: cause, rule, reason: 'undecided' }
    }
    return undecided(rule, cause)
  }
}

function undecided(rule: string, cause: unknown): LoginResult {
  const error = new PostgresError('postgres.login_undecided', 'the identity cannot be verified at this time', { cause })
  return { kind: 'failed', error, rule, reason: 'undecided' }
}

/**
 * The mechanism of a rule that decides where no certificate does; `undefined` when the rule has none for this door.
 *
 * @param wish what the client asked for by `-c bawn.login=`
 * @param plugged mechanisms of plug-ins that this door can ask for
 */
export function decidingMechanism(
  use: readonly MechanismName[],
  wish: LoginQuestion | undefined,
  plugged: PluggedQuestions,
): LoginQuestion | 'trust' | undefined {
  const usable = use.flatMap(mechanism => (mechanism === 'trust' ? mechanism : (questionOf(mechanism, plugged) ?? [])))
  return wish !== undefined && usable.includes(wish) ? wish : usable[0]
}
