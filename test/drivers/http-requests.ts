import { type DriverGateway, password } from './gateway.ts'
import type { HttpMechanism } from './matrix.ts'
import type { Login } from './postgres-logins.ts'

// What a client of the HTTP door is asked to do for each row of the table. No tests in here.

export interface HttpTrial {
  readonly login: Login
  /** The same with a credential that is wrong; it has to be a 401. */
  readonly wrong: Login
  /** What leads to a closed connection, if it is sent at all. */
  readonly closed?: Login
  /** Who the upstream is told that it is. */
  readonly who: string
  /** As the trail has it. */
  readonly mechanism: string
}

export function httpTrials(gateway: DriverGateway): Readonly<Record<HttpMechanism, HttpTrial>> {
  const { path } = gateway
  const common = { ca: path('ca.pem') }
  const trial = (mechanism: string, who: string, login: Login, change: Login): HttpTrial => ({
    login: { ...common, ...login },
    wrong: { ...common, ...login, ...change },
    who,
    mechanism,
  })
  const wrong = { password: 'wrong' }
  const dora = { scheme: 'digest', user: 'dora', password }
  const shown = { certificate: path('client.pem'), key: path('client.key') }
  const stranger = { certificate: path('stranger.pem'), key: path('stranger.key') }
  const forged = (token: string): Login => ({ token: `${token.slice(0, -6)}AAAAAA` })
  return {
    trust: trial(
      'trust',
      'guest',
      { scheme: 'none' },
      { scheme: 'header', header: 'Authorization', token: 'Basic YTpi' },
    ),
    basic: trial('basic', 'alice', { scheme: 'basic', user: 'alice', password }, wrong),
    digest: trial('digest', 'dora', dora, wrong),
    'digest-basic': trial('digest', 'dora', dora, wrong),
    certificate: {
      ...trial('certificate', 'billing-service', { scheme: 'none', ...shown }, {}),
      wrong: { ...common, scheme: 'none' },
      closed: { ...common, scheme: 'none', ...stranger },
    },
    jwt: trial('jwt', 'carol', { scheme: 'bearer', token: gateway.jwt.carol }, forged(gateway.jwt.carol)),
    token: trial('token', 'alice', { scheme: 'bearer', token: gateway.token }, forged(gateway.token)),
    'token-basic': trial(
      'token',
      'alice',
      { scheme: 'basic', user: 'alice', password: gateway.token },
      { password: forged(gateway.token)['token'] ?? '' },
    ),
    'api-key': trial(
      'api-key',
      'robot',
      { scheme: 'header', header: 'X-Api-Key', token: gateway.apiKey },
      { token: 'wrong' },
    ),
    'api-key-basic': trial(
      'api-key',
      'robot',
      { scheme: 'basic', user: gateway.apiKey, password: '' },
      { user: 'wrong' },
    ),
  }
}
