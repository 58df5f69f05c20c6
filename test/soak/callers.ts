import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type Asker, basic, bearer, type Headers, pick } from './ask.ts'
import type { HeldToken } from './issuer.ts'
import type { Outcome } from './ledger.ts'
import type { RevokedCredentials } from './revoking.ts'
import { canary, members, type Person, type SoakWorld, staff } from './world.ts'

export interface Caller {
  readonly name: string
  /** How often it comes, beside the others. */
  readonly share: number
  /** `undefined`: it has nothing to ask with at this moment. */
  ask(nonce: string): Promise<Outcome> | undefined
}

const maskedOf = ({ email, card }: Person) => ({
  email: `p****${email.slice(email.indexOf('@'))}`,
  card: `****${card.slice(-4)}`,
})
const jsonOf = (id: number, shown: { readonly email: unknown; readonly card: unknown }): string =>
  JSON.stringify({ id, email: shown.email, card: shown.card })

/** Who is right gets what they asked for and nobody else's; who is wrong gets nothing, ever. */
export function createCallers(world: SoakWorld, asker: Asker, revoked: RevokedCredentials): readonly Caller[] {
  const { issuer, people, password } = world
  const echo = (path: string, user: string): string => JSON.stringify({ url: path, user })
  const byToken = ['issuer', 'redis'] as const
  const served = (path: string, user: string, headers: Headers, needs: readonly ('issuer' | 'redis')[] = byToken) =>
    asker.served({ path, headers, needs }, echo(path, user))
  const refused = (
    path: string,
    wanted: readonly number[],
    headers: Headers,
    needs: readonly ('issuer' | 'redis')[] = byToken,
  ) => asker.refused({ path, headers, needs }, wanted)
  const of = (token: HeldToken | undefined, ask: (token: HeldToken) => Promise<Outcome>) =>
    token === undefined ? undefined : ask(token)
  const someone = () => issuer.tokenOf(pick(staff))
  const seePerson = (reader: string, shown: (person: Person) => { readonly email: unknown; readonly card: unknown }) =>
    of(issuer.tokenOf(reader), token => {
      const person = pick(people)
      const question = { path: `/people/${person.id}`, headers: bearer(token.text), needs: byToken }
      return asker.served(question, jsonOf(person.id, shown(person)))
    })
  const readPerson = (reader: string, shown: (person: Person) => string) =>
    of(issuer.tokenOf(reader), ({ user, text: token }) => {
      const { id } = pick(people)
      const person = people[id] ?? assert.fail()
      const query = { text: 'select id, email from people where id = $1', values: [id] }
      return asker.sql({ user, token }, query, rows => {
        const isLeaked = reader !== 'billing' && JSON.stringify(rows).includes(canary)
        return !isLeaked && rows.length === 1 && String(rows[0]?.['email']) === shown(person)
      })
    })
  const own = { text: "select current_setting('application_name') as who, $1::text as nonce" }
  const session = (token: HeldToken, nonce: string) =>
    asker.sql({ user: token.user, token: token.text }, { ...own, values: [nonce] }, rows => {
      return rows.length === 1 && rows[0]?.['who'] === `bawn:${token.user}` && rows[0]['nonce'] === nonce
    })
  const noSession = (user: string, token: string) =>
    asker.sql({ user, token }, { text: 'select 1', values: [] }, undefined)

  // Tokens of the gateway's own outlive everything that is killed; each is used at both gateways.
  const ours = new Map<string, string>()
  const askOurs = async (path: string): Promise<Outcome> => {
    const user = pick(members)
    const token = ours.get(user)
    if (token !== undefined) return served(path, user, bearer(token), ['redis'])
    let issued = ''
    const outcome = await asker.judged(
      { path: '/token', headers: basic(user, password), method: 'POST' },
      (status, body) => {
        issued = status === 200 ? String(JSON.parse(body).access_token) : ''
        return issued.startsWith('bawn_token_')
      },
      ...([[503], ['redis'] as const, asker.someNode] as const),
    )
    if (outcome.kind === 'right') ours.set(user, issued)
    return outcome
  }

  const row = (name: string, share: number, ask: Caller['ask']): Caller => ({ name, share, ask })
  return [
    row('good: token, seen before', 8, nonce =>
      of(someone(), token => served(`/staff/${nonce}`, token.user, bearer(token.text))),
    ),
    row('good: token, new', 3, nonce => {
      const token = issuer.freshToken()
      if (token === undefined || !token.user.startsWith('user')) return undefined
      return served(`/staff/${nonce}`, token.user, bearer(token.text))
    }),
    row('good: own path, by policy', 4, nonce =>
      of(someone(), token => served(`/own/${token.user}/${nonce}`, token.user, bearer(token.text))),
    ),
    row('good: API key', 4, nonce => {
      const headers = { 'X-Api-Key': world.apiKeys.get('nightly') ?? assert.fail() }
      return served(`/staff/${nonce}`, 'nightly', headers, ['redis'])
    }),
    row('good: password', 3, nonce => {
      const user = pick(members)
      return served(`/staff/${nonce}`, user, basic(user, password), ['redis'])
    }),
    row('good: token of our own', 4, nonce => askOurs(`/staff/${nonce}`)),
    row('good: what staff sees of a person', 3, () => seePerson(pick(staff), maskedOf)),
    row('good: what nobody special sees of a person', 2, () =>
      seePerson('mallory', () => ({ email: null, card: null })),
    ),
    row('good: what billing sees of a person', 2, () => seePerson('billing', person => person)),
    row('good: PostgreSQL session', 1, nonce => of(someone(), token => session(token, nonce))),
    row('good: what staff reads in SQL', 1, () => readPerson(pick(staff), person => maskedOf(person).email)),
    row('good: what billing reads in SQL', 1, () => readPerson('billing', person => person.email)),
    row('bad: nobody', 2, nonce => refused(`/staff/${nonce}`, [401], {}, [])),
    row('bad: forged token', 2, nonce =>
      refused(`/staff/${nonce}`, [401], bearer(issuer.forge('forged', pick(staff)))),
    ),
    row('bad: token of an unknown key', 1, nonce =>
      refused(`/staff/${nonce}`, [401], bearer(issuer.forge('unknown key', pick(staff)))),
    ),
    row('bad: token for another audience', 1, nonce =>
      refused(`/staff/${nonce}`, [401], bearer(issuer.forge('other audience', pick(staff)))),
    ),
    row('bad: expired token', 2, nonce =>
      of(issuer.expiredToken(), token => refused(`/staff/${nonce}`, [401], bearer(token.text))),
    ),
    row('bad: token of a key that was taken back', 2, nonce =>
      of(issuer.withdrawnToken(), token => refused(`/staff/${nonce}`, [401], bearer(token.text))),
    ),
    row('bad: no role', 2, nonce =>
      of(issuer.tokenOf('mallory'), token => refused(`/staff/${nonce}`, [403], bearer(token.text))),
    ),
    row('bad: path of somebody else', 2, nonce =>
      of(issuer.tokenOf('mallory'), token => refused(`/own/${pick(staff)}/${nonce}`, [403], bearer(token.text))),
    ),
    // Guesses are slowed down: 429.
    row('bad: wrong API key', 1, nonce => {
      const key = world.apiKeys.get('nightly') ?? assert.fail()
      return refused(`/staff/${nonce}`, [401, 429], { 'X-Api-Key': `${key.slice(0, -4)}AAAA` }, [])
    }),
    row('bad: token of our own that nobody has issued', 1, nonce =>
      refused(`/staff/${nonce}`, [401], bearer(`bawn_token_${randomBytes(32).toString('base64url')}`), ['redis']),
    ),
    row('bad: PostgreSQL with a forged token', 1, () => noSession('user0', issuer.forge('forged', 'user0'))),
    row('bad: PostgreSQL without the role', 1, () =>
      of(issuer.tokenOf('mallory'), token => noSession('mallory', token.text)),
    ),
    row('bad: PostgreSQL with an expired token', 1, () =>
      of(issuer.expiredToken(), token => noSession(token.user, token.text)),
    ),
    row('bad: PostgreSQL with the token of somebody else', 1, () =>
      of(someone(), token => noSession(token.user === 'user0' ? 'user1' : 'user0', token.text)),
    ),
    ...revoked.callers(),
  ]
}
