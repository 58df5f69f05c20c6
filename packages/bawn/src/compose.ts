import { randomUUID } from 'node:crypto'
import { createPasswordCheck } from './accounts/password.ts'
import { decoySecretOf, findAccount } from './accounts/store.ts'
import type { LoginThrottle } from './accounts/throttle.ts'
import type { ReadyCheck } from './admin/door.ts'
import type { AccessLog } from './audit/access-log.ts'
import type { AuditTrail } from './audit/event.ts'
import type { Metrics } from './audit/metrics.ts'
import { createCertificateMechanism } from './authn/certificate.ts'
import type { NameResolver } from './authn/host-names.ts'
import { createHostRules, openHostNames } from './authn/host-rules.ts'
import type { Identity } from './authn/identity.ts'
import { createIdentity } from './authn/identity.ts'
import type { JwtMechanism } from './authn/jwt.ts'
import type { NonceMemory } from './authn/nonce-memory.ts'
import { tokenSourceOf } from './authn/oauthbearer.ts'
import type { BrowserLogin } from './authn/oidc/browser-login.ts'
import { asksAccounts } from './authn/option.ts'
import { createScramMechanism } from './authn/scram-mechanism.ts'
import { createTakenBack, type TakenBack } from './authn/taken-back.ts'
import { createTrustMechanism } from './authn/trust.ts'
import { openAccountStores, storeCheck } from './compose-accounts.ts'
import { composeDatabases, databaseCheck, type OpenDatabase } from './compose-databases.ts'
import { composeGrants } from './compose-grants.ts'
import { composeIssuers } from './compose-issuers.ts'
import { composeLogin, loginDoor } from './compose-login.ts'
import { composeMechanisms } from './compose-mechanisms.ts'
import { composeSigners, publishedKeys } from './compose-signing.ts'
import { composeUpstreams } from './compose-upstreams.ts'
import type { Config } from './config/load.ts'
import { resolveSecret } from './config/secret.ts'
import { createCatalogue } from './fields/catalogue.ts'
import type { Catalogue } from './fields/field.ts'
import { createAcl } from './http/acl.ts'
import { createMechanismTable } from './http/mechanisms.ts'
import { compileRoutes } from './http/routes.ts'
import type { HttpState } from './http/state.ts'
import { type TokenDoor, tokenCookie } from './http/token-resource.ts'
import type { Upstream } from './http/upstream/upstream.ts'
import { openDirectoryKeystore } from './keys/directory.ts'
import type { Keystore } from './keys/keystore.ts'
import { parseMasterKey } from './keys/master-key.ts'
import { type Kinds, kindSurroundings } from './kinds.ts'
import type { NumbersFor } from './limits/numbers.ts'
import type { RateLimiter } from './limits/rate-limit.ts'
import type { Slots } from './limits/session-slots.ts'
import type { KindSurroundings, RandomTokenChoices } from './plugin.ts'
import { createGate } from './policy/gate.ts'
import type { OpenGrantGate } from './policy/grant-gate.ts'
import { isEnforced } from './policy/option.ts'
import type { DatabaseState, DoorState, LogEntry } from './postgres/state.ts'
import { isRevoked, isTakenBack } from './revocation.ts'
import { createMemoryTokenStore } from './tokens/memory.ts'
import { createRandomTokens, randomTokenDefaults } from './tokens/random.ts'
import type { RevokedTokens } from './tokens/revoked/mirror.ts'
import { openRevokedTokens } from './tokens/revoked/open.ts'
import type { TokenStore } from './tokens/store.ts'
import type { TokenManager, TokenSubject } from './tokens/token-manager.ts'

// Makes of one configuration everything that a reload replaces. Nothing here listens, and nothing of a running state is touched.

/** Requests that began on a retired state are over by then; what they use is closed after it. */
const retireMs = 60_000

/** What outlives a reload. */
export interface Surroundings {
  readonly trail: AuditTrail
  readonly metrics: Metrics
  /** Milliseconds since 1970. */
  readonly clock: () => number
  readonly log: (entry: LogEntry) => void
  /** One for all doors: what was guessed at one counts at the other, and a reload forgets nothing. */
  readonly throttle: LoginThrottle
  /** `undefined`: none is written. */
  readonly accessLog?: AccessLog | undefined
  /** Rates of the doors, and who has come how often. */
  readonly limiter: RateLimiter
  /** Where further limits count; each for itself where it is not given. */
  readonly numbers?: NumbersFor | undefined
  /** Places of sessions in databases. */
  readonly slots: Slots
  /** What was used of digest nonces: none is new again after a reload. */
  readonly nonces: NonceMemory
  /** Tokens of kind memory: a reload keeps them. */
  readonly memoryTokens: TokenStore
  /** For names in host rules; the system's servers when it is not given. */
  readonly resolver?: NameResolver | undefined
}

/** One configuration, compiled. */
export interface Composition {
  readonly http: HttpState
  readonly postgres: DoorState
  /** Fetches what the first request would have to wait for. Never rejects: `checks` tells what could not be had. */
  prime(): Promise<void>
  /** Account stores and databases can be asked; issuers have keys. */
  checks(): Promise<readonly ReadyCheck[]>
  /** What was taken back before its end; `undefined` where the configuration keeps nothing of that. */
  readonly revoked: RevokedTokens | undefined
  /** Whether what this identity was proven with is known to be taken back. At once, for it is asked for every session. */
  isTakenBack(identity: Identity): boolean
  /** Whether an open session of this identity has to end. Rejects when that cannot be decided. */
  isRevoked(identity: Identity): Promise<boolean>
  /** `undefined` where the configuration has none. */
  readonly grants: OpenGrantGate | undefined
  /** Another composition serves now: gives everything back once what is under way has ended. */
  retire(successor: Composition, closed: () => void): void
  close(): Promise<void>
}

/** Opens the keystore that a configuration names. */
export function openKeystore(config: Config, environment: NodeJS.ProcessEnv): Keystore {
  const masterKey = parseMasterKey(resolveSecret(config.keys.master, environment).value)
  try {
    return openDirectoryKeystore({ path: config.keys.store.path, masterKey })
  } finally {
    masterKey.fill(0)
  }
}

/** The catalogue of fields of a configuration. */
export function composeCatalogue(config: Config, keystore: Keystore): Catalogue {
  return createCatalogue(config.fields, {
    keystore,
    defaultClientId: config.keys.client_id,
    databases: Object.keys(config.databases),
  })
}

/** The token manager of a configuration, for the doors and for the command line; `undefined` when it issues none. */
export async function composeTokens(
  config: Config,
  kinds: Kinds,
  surroundings: KindSurroundings,
  memory: TokenStore = createMemoryTokenStore(),
): Promise<TokenManager | undefined> {
  const { tokens } = config
  if (tokens === undefined) return undefined
  const [word, options] = tokens.kind === 'plugin' ? [tokens.name, tokens.written] : [tokens.kind, tokens]
  const kind = kinds.tokenManagers.get(word)
  if (kind === undefined) throw new TypeError(`no kind of token manager is called ${word}`)
  const { clock } = surroundings
  const { ttl: ttlMs } = tokens
  const randomTokens = (store: TokenStore, choices?: RandomTokenChoices): TokenManager =>
    createRandomTokens({ name: word, ttlMs, ...randomTokenDefaults, ...choices }, store, clock)
  return kind.open(options, { ...surroundings, memory, ttlMs, randomTokens })
}

function tokenDoor(config: Config, manager: TokenManager | undefined): TokenDoor | undefined {
  if (config.tokens === undefined || manager === undefined) return undefined
  const { resource, endpoint, headers, claims, cookie } = config.tokens
  const site = config.mechanisms.oidc === undefined ? 'Strict' : 'Lax'
  return { manager, resource, endpoint, headers, claims, cookie: cookie && tokenCookie(cookie, site) }
}

function usesTokensAtPostgres({ listeners, host_rules: rules }: Config): boolean {
  const uses = rules.some(({ door, use }) => use.includes('token') && (door?.includes('postgres') ?? true))
  return uses && Object.values(listeners).some(({ door }) => door === 'postgres')
}

/** @throws {GatewayError} whatever keeps the configuration from being served */
export async function compose(
  config: Config,
  kinds: Kinds,
  surroundings: Surroundings,
  environment: NodeJS.ProcessEnv,
): Promise<Composition> {
  const { trail, metrics, clock, log, throttle, limiter, slots, memoryTokens } = surroundings
  const catalogue = composeCatalogue(config, openKeystore(config, environment))
  const forKinds = kindSurroundings(environment, {
    clock,
    log: (level, message) => log({ level, message, requestId: '-' }),
  })
  const signers = composeSigners(config, forKinds.secret)
  const jwt = await composeIssuers(config, kinds, forKinds)
  const upstreams = composeUpstreams(config, forKinds)
  const stores = await openAccountStores(config.accounts, { kinds, surroundings: forKinds, create: true })
  let grants: OpenGrantGate | undefined
  let successor: Composition | undefined
  const grantsOf = (database: string): DatabaseState['grants'] => {
    const next = successor?.postgres.databases.get(database)
    if (next !== undefined) return next.grants
    return isEnforced(config.grants, database) ? grants : undefined
  }
  const hostNames = openHostNames(config.host_rules, {
    resolver: surroundings.resolver,
    clock,
    log: message => log({ level: 'warn', message, requestId: '-' }),
  })
  let tokens: TokenManager | undefined
  let revoked: RevokedTokens | undefined
  let takenBack: TakenBack | undefined
  try {
    revoked = config.revocations && (await openRevokedTokens(config.revocations, forKinds))
    takenBack = revoked && createTakenBack(revoked, { issuerOf: source => issuerValue(config, source) })
    grants = await composeGrants(config, stores, log)
    const databases = await composeDatabases(
      config,
      catalogue,
      { gate: grants?.gate, of: grantsOf },
      database => successor?.postgres.databases.get(database),
      { ...surroundings, secret: forKinds.secret },
    )
    tokens = await composeTokens(config, kinds, forKinds, memoryTokens)
    return await assemble(databases)
  } catch (error) {
    grants?.close()
    jwt?.close()
    for (const store of stores) await store.close()
    await tokens?.close()
    await revoked?.close()
    hostNames?.close()
    throw error
  }

  function onRenewed(subject: TokenSubject, address: string, door: 'http' | 'postgres'): void {
    const { id, roles, source, clientId } = subject
    const proof = { claims: {}, mechanism: 'token', source, clientId, expiresAt: undefined } as const
    trail.emit({
      kind: 'login',
      requestId: randomUUID(),
      door,
      identity: createIdentity({ ...proof, id, roles }),
      address,
      action: 'token renew',
      resource: 'tokens',
      decision: 'permit',
      rule: 'tokens: renewed by use',
    })
  }

  async function assemble(databases: readonly OpenDatabase[]): Promise<Composition> {
    const hostRules = createHostRules(config.host_rules, hostNames)
    const certificate = createCertificateMechanism(config.services, stores)
    const scram = stores.length === 0 ? undefined : createScramMechanism({ stores, decoySecret: decoySecretOf(stores) })
    const { digest } = config.mechanisms
    const password = createPasswordCheck({
      stores,
      throttle,
      now: () => performance.now(),
      digest: digest !== undefined && asksAccounts(digest) ? digest : undefined,
      onUpgradeFailure: (account, cause) =>
        log({ level: 'warn', message: `the verifiers of ${account} were not made anew`, requestId: '-', cause }),
    })
    const browserLogin = await composeLogin(config, jwt, forKinds)
    const login = browserLogin && (takenBack?.guardLogin(browserLogin) ?? browserLogin)
    const composed = await composeMechanisms(config, {
      kinds,
      surroundings: forKinds,
      certificate,
      jwt,
      password: stores.length === 0 ? undefined : password,
      throttle,
      nonces: surroundings.nonces,
      tokens,
      stores,
      onRenewed,
      takenBack,
      login,
    })
    const tokensNow = tokens && {
      isConfigured: composed.isConfigured,
      isGood: async (mark: string) => (await tokens?.isGood?.(mark)) === true,
    }
    if (tokens !== undefined && composed.token === undefined && usesTokensAtPostgres(config)) {
      const message = `tokens of kind ${tokens.name} cannot be asked about again (isGood): at the PostgreSQL door none is taken`
      log({ level: 'warn', message, requestId: '-' })
    }
    const mechanisms = createMechanismTable(composed.http)
    const acl = config.acl.length === 0 ? undefined : createAcl(config.acl, clock)
    const routes = compileRoutes(config.routes, {
      upstreams,
      gate: (allow, use) => createGate(allow, config.policies, grants?.gate, { use, now: clock }),
      catalogue,
      limiter,
      acl,
      carriers: mechanisms.carriers,
      issuers: new Set(Object.keys(config.issuers)),
      signers,
      clock,
    })
    const close = async (): Promise<void> => {
      grants?.close()
      jwt?.close()
      login?.close()
      hostNames?.close()
      await password.close()
      await Promise.allSettled([
        composed.close(),
        tokens?.close(),
        revoked?.close(),
        ...stores.map(store => store.close()),
        ...databases.map(({ close }) => close()),
      ])
    }
    return {
      http: Object.freeze({
        routes,
        upstreams: Object.freeze([...upstreams.values()] satisfies Upstream[]),
        acl,
        hostRules,
        mechanisms,
        tokens: tokenDoor(config, tokens),
        login: login && loginDoor(config, login, throttle, surroundings.numbers),
        keySets: publishedKeys(signers),
        now: clock,
        catalogue,
        trail,
        metrics: {
          request: (_route: string, _method: string, _status: number, durationMs: number) =>
            metrics.requestSeconds.observe(durationMs / 1000, 'http'),
        },
      }),
      postgres: Object.freeze({
        databases: new Map(databases.map(({ state }) => [state.name, state])),
        hostRules,
        certificate,
        scram,
        jwt: takenBack?.guardTokens(jwt) ?? jwt,
        password,
        trust: createTrustMechanism(stores),
        findAccount: user => findAccount(stores, user),
        plugged: composed.postgres,
        token: composed.token,
        tokenSource: tokenSourceOf(Object.values(config.issuers)),
        throttle,
        slots,
        catalogue,
        audit: trail,
        auditStatements: config.audit.statements,
        log,
        now: clock,
      } satisfies DoorState),
      async prime() {
        await Promise.allSettled([
          jwt?.prime(),
          revoked?.load(),
          login?.prime(),
          hostNames?.refresh(),
          ...databases.map(({ source }) => source.refresh()),
        ])
      },
      revoked,
      isTakenBack: identity => isTakenBack(identity, takenBack),
      isRevoked: identity => isRevoked(identity, stores, clock(), tokensNow),
      checks: async () => [
        ...issuerChecks(jwt),
        ...revocationChecks(revoked),
        ...loginChecks(login),
        ...(await Promise.all([...stores.map(storeCheck), ...databases.map(databaseCheck)])),
      ],
      grants,
      retire(next, closed) {
        // Open sessions keep the state that they began with, but for what they may do.
        successor = next
        if (next.grants !== undefined) grants?.follow(next.grants)
        setTimeout(() => void close().then(closed), retireMs).unref()
      },
      close,
    }
  }
}

function issuerChecks(jwt: JwtMechanism | undefined): readonly ReadyCheck[] {
  return (jwt?.status() ?? []).map(({ name, usable, failure }) => ({
    name: `issuer ${name}`,
    ok: usable,
    detail: usable ? undefined : (failure ?? 'its keys were not fetched yet'),
  }))
}

/** What the tokens of a source say of their issuer. */
function issuerValue({ issuers, mechanisms }: Config, source: string): string | undefined {
  if (source === 'introspection') return mechanisms.introspection?.issuer ?? ''
  return Object.hasOwn(issuers, source) ? issuers[source]?.issuer : undefined
}

function revocationChecks(revoked: RevokedTokens | undefined): readonly ReadyCheck[] {
  if (revoked === undefined) return []
  const detail = revoked.failure()
  return [{ name: 'revocations', ok: detail === undefined, detail }]
}

function loginChecks(login: BrowserLogin | undefined): readonly ReadyCheck[] {
  if (login === undefined) return []
  const { usable, failure } = login.status()
  const detail = usable ? undefined : (failure ?? 'its configuration was not fetched yet')
  return [{ name: `login at ${login.issuer}`, ok: usable, detail }]
}
