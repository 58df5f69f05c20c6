import { CredentialVersion } from '../accounts/credential-version.ts'
import { parseScramVerifier } from '../accounts/scram-verifier.ts'
import { type Account, AccountError, type AccountStore } from '../accounts/store.ts'
import { parseVerifier, type Verifiers, verifiersText } from '../accounts/verifier.ts'
import type { AccountStoreKind } from '../plugin.ts'
import { isName, readRoles } from './answer.ts'
import { type Border, isObject, methodOf, narrowSurroundings, parseOptions } from './border.ts'
import type { TrustedAccountStoreKind } from './trusted.ts'

const decoySecretBytes = 32

/** An account store of a plug-in behind the border: what it finds is read account by account, and it is never written to. */
export function guardAccountStore(kind: AccountStoreKind, border: Border): TrustedAccountStoreKind {
  return {
    kind: kind.kind,
    options: kind.options,
    async open(written, given): Promise<AccountStore> {
      const { name } = given
      const what = `account store ${name}`
      const surroundings = narrowSurroundings(border, what, written, given)
      const options = parseOptions(border, what, kind.options, written)
      const made = await border.ask(`opening ${what}`, () => kind.open(options, surroundings))
      const find = isObject(made) ? methodOf(made, 'find') : undefined
      if (!isObject(made) || find === undefined) throw border.fault(what, 'was opened as nothing that has find')
      const [decoy, list, close] = [methodOf(made, 'decoy'), methodOf(made, 'list'), methodOf(made, 'close')]
      const decoySecret = methodOf(made, 'decoySecret')
      if (decoySecret === undefined && made['decoySecret'] !== undefined) {
        throw border.fault(what, 'has a decoySecret that is no function')
      }
      const read = (value: unknown): Account => {
        const account = border.askNow(what, () => readAccount(value))
        if (typeof account === 'string') throw border.fault(what, account)
        return account
      }
      const readOnly = () =>
        Promise.reject(
          new AccountError('accounts.read_only', `account store ${name} belongs to plug-in ${border.name}`),
        )
      return {
        name,
        async find(user) {
          const found = await border.ask(what, () => find(user))
          if (found === undefined) return undefined
          const account = read(found)
          // Whoever logs in is who was looked for, or roles and limits would be of two.
          if (account.name !== user) throw border.fault(what, 'found an account of another name')
          return account
        },
        ...(decoy && {
          async decoy(user) {
            const found = await border.ask(what, () => decoy(user))
            const account = found === undefined ? undefined : border.askNow(what, () => readAccount(found))
            // Its verifier is only to cost what others cost: one that cannot be read must keep nobody else out.
            return typeof account === 'string' ? undefined : account
          },
        }),
        ...(decoySecret && {
          async decoySecret() {
            const secret = await border.ask(what, () => decoySecret())
            if (!isDecoySecret(secret))
              throw border.fault(what, `has a decoySecret that is not ${decoySecretBytes} bytes`)
            return Uint8Array.from(secret)
          },
        }),
        async list() {
          if (list === undefined) throw new AccountError('accounts.unavailable', `account store ${name} lists nobody`)
          const accounts = await border.ask(what, () => list())
          if (!Array.isArray(accounts)) throw border.fault(what, 'lists accounts that are no list')
          return accounts.map(read)
        },
        add: readOnly,
        setVerifier: readOnly,
        close: async () => {
          await border.ask(`closing ${what}`, () => close?.())
        },
      }
    },
  }
}

function isDecoySecret(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === decoySecretBytes
}

/** An account, copied; a text says what is wrong, without a value. */
function readAccount(value: unknown): Account | string {
  if (!isObject(value)) return 'found an account that is no object'
  const { name, roles, verifiers = [], locked = false } = value
  if (!isName(name)) return 'found an account whose name is none'
  const list = readRoles(roles)
  if (list === undefined) return 'found an account without a list of roles'
  if (typeof locked !== 'boolean') return 'found an account that is neither locked nor not'
  const read = readVerifiers(verifiers)
  if (typeof read === 'string') return read
  // What was logged in with another password ends: nothing but the verifiers tells.
  return { name, roles: list, locked, ...read, credential: new CredentialVersion(verifiersText(read)) }
}

function readVerifiers(texts: unknown): Verifiers | string {
  if (!Array.isArray(texts)) return 'found an account whose verifiers are no list'
  let scram: Verifiers['scram']
  let password: Verifiers['password']
  for (const text of texts.map(String)) {
    const [asScram, asPassword] = [parseScramVerifier(text), parseVerifier(text)]
    if (asScram === undefined && asPassword === undefined) return 'found an account with a verifier of no known form'
    if ((asScram !== undefined && scram !== undefined) || (asPassword !== undefined && password !== undefined)) {
      return 'found an account with two verifiers of one form'
    }
    scram ??= asScram
    password ??= asPassword
  }
  return { scram, password }
}
