import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import { decodeBase64, deriveScramKeys, maxScramIterations, type ScramLoginKeys } from '../accounts/scram-verifier.ts'
import { AuthnError } from './error.ts'
import type { ScramMechanismName } from './scram.ts'

/**
 * The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): how the gateway logs in to PostgreSQL with its own credential. The server
 * has to prove that it knows the password too.
 */
export interface ScramCredential {
  /**
   * @param login.offered the mechanisms that the server named
   * @param login.tls whether this connection is encrypted: only then can PLUS have been taken from the offer, and we tell the server
   * @param login.channelBinding `serverEndPointHash` of the server's certificate; `undefined` where there is none
   * @param login.nonce as for `createScramExchange`
   * @param login.mustBind nothing but PLUS will do
   * @throws {AuthnError} `authn.upstream_scram` when the server offers nothing that we can do
   */
  start(login: {
    readonly offered: readonly string[]
    readonly tls: boolean
    readonly channelBinding: Uint8Array | undefined
    readonly nonce: string
    readonly mustBind?: boolean
  }): ScramClient
}

/** One login. Everything that the server does wrong throws `authn.upstream_scram`; then nothing more may be sent to it. */
export interface ScramClient {
  readonly mechanism: ScramMechanismName
  /** The initial response. */
  readonly first: Uint8Array
  /** @param serverFirst data of SASLContinue @returns the client-final message */
  respond(serverFirst: Uint8Array): Promise<Uint8Array>
  /** Checks the server's signature. @param serverFinal data of SASLFinal */
  finish(serverFinal: Uint8Array): void
}

interface DerivedKeys {
  readonly clientKey: Buffer
  readonly storedKey: KeyObject
  readonly serverKey: KeyObject
}

// RFC 7677 section 4. A server that asks for less is after a proof that is cheap to guess the password from.
const minIterations = 4_096

/** Makes the keys for what the server said. */
type DeriveKeys = (saltText: string, salt: Uint8Array, iterations: number) => Promise<DerivedKeys>

/** Keeps the keys of the last salt: PBKDF2 runs once for a database, not once for a connection. */
export function createScramCredential(password: string): ScramCredential {
  let last: Promise<DerivedKeys> | undefined
  let lastOf: string | undefined

  const derive: DeriveKeys = (saltText, salt, iterations) => {
    const of = `${iterations}:${saltText}`
    if (last === undefined || lastOf !== of) {
      lastOf = of
      last = deriveScramKeys(password, salt, iterations).then(keys => ({
        clientKey: keys.clientKey,
        storedKey: createSecretKey(keys.storedKey),
        serverKey: createSecretKey(keys.serverKey),
      }))
    }
    return last
  }
  return credentialOf(derive)
}

/**
 * Logs in by what a client proved to us: its ClientKey, and the verifier that the server keeps too. Good for one login.
 *
 * @throws {AuthnError} `authn.other_verifier`, by `respond`, when the server keeps another verifier: the password was changed there, or here
 */
export function createKeyedScramCredential({ verifier, clientKey }: ScramLoginKeys): ScramCredential {
  const expected = Buffer.from(verifier.salt).toString('base64')
  return credentialOf(async (saltText, _salt, iterations) => {
    if (saltText !== expected || iterations !== verifier.iterations) {
      throw new AuthnError('authn.other_verifier', 'the server keeps another SCRAM verifier than the account has')
    }
    const { storedKey, serverKey } = verifier
    return { clientKey, storedKey: createSecretKey(storedKey), serverKey: createSecretKey(serverKey) }
  })
}

function credentialOf(derive: DeriveKeys): ScramCredential {
  return {
    start({ offered, tls, channelBinding, nonce, mustBind = false }) {
      const plus = channelBinding !== undefined && offered.includes('SCRAM-SHA-256-PLUS')
      if (mustBind && !plus) throw refused('channel binding is required, and it cannot be had')
      if (!plus && !offered.includes('SCRAM-SHA-256')) throw refused('the server offers no SCRAM-SHA-256')
      const gs2 = plus ? 'p=tls-server-end-point,,' : tls && channelBinding !== undefined ? 'y,,' : 'n,,'
      const bare = `n=,r=${nonce}`
      let expected: Buffer | undefined

      return {
        mechanism: plus ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256',
        first: Buffer.from(gs2 + bare, 'latin1'),

        async respond(message) {
          const serverFirst = Buffer.from(message.subarray(0, 2_048)).toString('latin1')
          const parts = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,8})(?:,[A-Za-z]=[^,]+)*$/.exec(
            serverFirst,
          )
          const [, serverNonce = '', saltText = ''] = parts ?? []
          const salt = decodeBase64(saltText)
          if (parts === null || message.length > 2_048 || salt === undefined)
            throw refused('its first message is malformed')
          if (!serverNonce.startsWith(nonce) || serverNonce.length === nonce.length)
            throw refused('its nonce does not go on from ours')
          const iterations = Number(parts[3])
          if (iterations < minIterations || iterations > maxScramIterations) {
            throw refused(
              `it wants ${iterations} iterations, we do ${minIterations} to ${maxScramIterations} (scram_iterations)`,
            )
          }
          const keys = await derive(saltText, salt, iterations)
          const bound = plus ? channelBinding : new Uint8Array()
          const binding = Buffer.concat([Buffer.from(gs2, 'latin1'), bound]).toString('base64')
          const unproven = `c=${binding},r=${serverNonce}`
          const authMessage = Buffer.from(`${bare},${serverFirst},${unproven}`, 'latin1')
          const proof = createHmac('sha256', keys.storedKey).update(authMessage).digest()
          for (let index = 0; index < proof.length; index++)
            proof[index] = (proof[index] ?? 0) ^ (keys.clientKey[index] ?? 0)
          expected = createHmac('sha256', keys.serverKey).update(authMessage).digest()
          return Buffer.from(`${unproven},p=${proof.toString('base64')}`, 'latin1')
        },

        finish(message) {
          const parts = /^v=([A-Za-z0-9+/=]{44})(?:,[A-Za-z]=[^,]+)*$/.exec(
            Buffer.from(message.subarray(0, 2_048)).toString('latin1'),
          )
          const signature = decodeBase64(parts?.[1] ?? '')
          if (expected === undefined || signature?.length !== 32 || !timingSafeEqual(signature, expected)) {
            throw refused('it does not know the password that it asks for')
          }
        },
      }
    },
  }
}

function refused(detail: string): AuthnError {
  return new AuthnError('authn.upstream_scram', `SCRAM with the server failed: ${detail}`)
}
