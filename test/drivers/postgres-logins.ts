import { type DriverGateway, password } from './gateway.ts'
import type { PostgresMechanism } from './matrix.ts'
import type { Opening } from './relay.ts'

// What a client is asked to do for each row of the table, and what has to come of it. No tests in here.

/** As the programs take it: a form. */
export type Login = Readonly<Record<string, string>>

export interface Refusal {
  /** What is wrong with it. */
  readonly what: string
  readonly login: Login
  /** In what the client says of it. */
  readonly error: RegExp
  /** In the trail; `undefined` where the client itself refuses. */
  readonly code: string | undefined
}

export interface Trial {
  readonly login: Login
  readonly refusals: readonly Refusal[]
  /** `current_user` of the session. */
  readonly session: string
  /** As the trail has it. */
  readonly mechanism: string
  readonly opening: Opening['kind']
}

const wrongPassword = /password authentication failed for user/

export function postgresTrials(gateway: DriverGateway): Readonly<Record<PostgresMechanism, Trial>> {
  const { path } = gateway
  const common = {
    host: 'localhost',
    database: 'shop',
    tls: 'verify-full',
    ca: path('ca.pem'),
    said: 'it’s "said" %s \\ $1',
  }
  const shown = { certificate: path('client.pem'), key: path('client.key') }
  const full = { session: 'gateway', opening: 'SSLRequest' } as const
  const withPassword = (login: Login): Login => ({ ...common, password, ...login })
  const wrong = (login: Login, change: Login = { password: 'wrong' }, code = 'wrong-password'): Refusal => ({
    what: 'a wrong password',
    login: { ...login, ...change },
    error: wrongPassword,
    code,
  })
  const scram = (login: Login, opening: Opening['kind'] = 'SSLRequest'): Trial => {
    const whole = withPassword({ user: 'ada', ...login })
    const unknown = wrong(whole, { user: 'nowhere' }, 'no-rule')
    return {
      login: whole,
      refusals:
        login['user'] === undefined
          ? [wrong(whole)]
          : [wrong(whole), { ...unknown, what: 'a name without a rule', error: /no host rule/ }],
      session: 'gateway',
      mechanism: 'scram',
      opening,
    }
  }
  const own = (user: string, database: string, mechanism: string, more: Login = {}): Trial => {
    const login = withPassword({ user, database, ...more })
    return {
      login,
      refusals: [wrong(login)],
      session: user,
      mechanism,
      opening: 'SSLRequest',
    }
  }
  const secured = scram({})
  const otherAuthority: Refusal = {
    what: 'a server of another authority',
    login: { ...secured.login, ca: path('other-ca.pem') },
    error: /certificate|CertPath|PKIX|SSL|self.signed/i,
    code: undefined,
  }
  const byCertificate = { ...common, ...shown, user: 'billing-service' }
  const byJwt = withPassword({ user: 'jo', password: gateway.jwt.jo })
  // Those that cannot send a token find that what they can do is not offered.
  const byBearer = {
    ...common,
    password,
    user: 'olga',
    token: gateway.jwt.olga,
    issuer: gateway.discovery.replace(/\/\.well.*/, ''),
  }
  const oauthFailed = /OAuth (bearer )?authentication failed|invalid_token/
  return {
    trust: {
      ...full,
      login: { ...common, user: 'trusty' },
      refusals: [
        {
          what: 'a name that nobody has',
          login: { ...common, user: 'nobody' },
          error: /trust authentication failed/,
          code: 'unknown-user',
        },
      ],
      mechanism: 'trust',
    },
    scram: scram({ binding: 'disable' }),
    'scram-plus': scram({ binding: 'require' }),
    password: { ...own('petra', 'shop', 'scram'), session: 'gateway', mechanism: 'password' },
    certificate: {
      ...full,
      login: byCertificate,
      refusals: [
        ['the name of another service', { user: 'sales-service' }, 'name-mismatch'],
        [
          'a certificate of another authority',
          { certificate: path('stranger.pem'), key: path('stranger.key') },
          'untrusted',
        ],
        ['no certificate', { certificate: '', key: '' }, 'untrusted'],
      ].map(([what, change, code]) => ({
        what: String(what),
        login: Object.fromEntries(
          Object.entries({ ...byCertificate, ...(change as Login) }).filter(([, value]) => value !== ''),
        ),
        error: /certificate authentication failed/,
        code: String(code),
      })),
      mechanism: 'certificate',
    },
    jwt: {
      ...full,
      login: byJwt,
      refusals: [
        { ...wrong(byJwt, { password: gateway.jwt.olga }, 'name-mismatch'), what: 'a token of somebody else' },
        { ...wrong(byJwt, { password: `${gateway.jwt.jo.slice(0, -6)}AAAAAA` }, 'untrusted'), what: 'a forged token' },
      ],
      mechanism: 'jwt',
    },
    oauthbearer: {
      ...full,
      login: byBearer,
      refusals: [
        {
          what: 'a token of somebody else',
          login: { ...byBearer, token: gateway.jwt.jo },
          error: oauthFailed,
          code: 'name-mismatch',
        },
        {
          what: 'a forged token',
          login: { ...byBearer, token: `${gateway.jwt.olga.slice(0, -6)}AAAAAA` },
          error: oauthFailed,
          code: 'untrusted',
        },
      ],
      mechanism: 'oauthbearer',
    },
    verifier: own('vera', 'own', 'scram'),
    'through-scram': own('paul', 'passed', 'pass-through', { binding: 'disable' }),
    'through-md5': own('phoebe', 'passed', 'pass-through'),
    'through-password': own('paula', 'passed', 'pass-through'),
    'tls-off': scram({ user: 'open', tls: 'off' }, 'no TLS'),
    'tls-require': withoutAuthority(scram({ tls: 'require' })),
    'tls-full': { ...secured, refusals: [otherAuthority] },
    'tls-direct': { ...scram({ negotiation: 'direct' }, 'direct TLS') },
  }
}

/** Where clients know an authority, some verify it whatever they are told. */
function withoutAuthority(trial: Trial): Trial {
  const without = ({ ca: _, ...login }: Login): Login => login
  return {
    ...trial,
    login: without(trial.login),
    refusals: trial.refusals.map(refusal => ({ ...refusal, login: without(refusal.login) })),
  }
}
