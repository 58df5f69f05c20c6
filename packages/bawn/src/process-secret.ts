import { createHmac, randomBytes } from 'node:crypto'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'

const name = 'bawn process secret'

/**
 * Random, gone with the process, and the same in every thread that is started after the first call. So what is derived for a name that
 * nobody has does not tell by which worker it was derived.
 *
 * @returns 32 bytes, others for each purpose
 */
export function processSecret(purpose: string): Buffer {
  let secret = getEnvironmentData(name)
  if (!(secret instanceof Uint8Array)) {
    secret = randomBytes(32)
    setEnvironmentData(name, secret)
  }
  return createHmac('sha256', new Uint8Array(secret as Uint8Array))
    .update(purpose)
    .digest()
}
