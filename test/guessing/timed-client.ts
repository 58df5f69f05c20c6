import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { ScramKeys } from '../../packages/bawn/src/accounts/scram-verifier.ts'
import { parseAuthParams } from '../../packages/bawn/src/authn/auth-params.ts'
import { MessageBuilder } from '../../packages/bawn/src/postgres/wire/builder.ts'
import { front } from '../../packages/bawn/src/postgres/wire/message.ts'
import { buildStartupMessage } from '../../packages/bawn/src/postgres/wire/startup.ts'

// Clients that measure how long the gateway takes to answer, and nothing of what they do themselves.

/** Ms from the last byte that was sent to the last byte of the answer; and the answer. */
interface Exchange {
  readonly ms: number
  readonly answer: Buffer
}

/** One connection on which one side asks and the other answers. */
export class TimedSocket {
  readonly #socket: Socket
  #received: Buffer[] = []
  #isWhole: ((bytes: Buffer) => boolean) | undefined
  #settle: ((answer: Buffer) => void) | undefined
  #lost: ((error: Error) => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', bytes => {
      this.#received.push(bytes)
      const whole = this.#received.length === 1 ? bytes : Buffer.concat(this.#received)
      if (this.#isWhole?.(whole) !== true) return
      this.#received = []
      this.#settle?.(whole)
    })
    socket.on('error', error => this.#lost?.(error))
    socket.on('close', () => this.#lost?.(new Error('closed')))
  }

  static async connect(port: number, localAddress: string): Promise<TimedSocket> {
    const socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true })
    await once(socket, 'connect')
    return new TimedSocket(socket)
  }

  async ask(bytes: Buffer | string, isWhole: (answer: Buffer) => boolean): Promise<Exchange> {
    const answer = new Promise<Buffer>((resolve, reject) => {
      this.#isWhole = isWhole
      this.#settle = resolve
      this.#lost = reject
    })
    const begun = performance.now()
    this.#socket.write(bytes)
    const whole = await answer
    return { ms: performance.now() - begun, answer: whole }
  }

  destroy(): void {
    this.#lost = undefined
    this.#socket.destroy()
  }
}

/** Requests one after the other on one connection. */
export function createHttpClient(socket: TimedSocket) {
  const isWhole = (bytes: Buffer): boolean => {
    const end = bytes.indexOf('\r\n\r\n')
    const length = /content-length: (\d+)/i.exec(bytes.toString('latin1', 0, Math.max(0, end)))?.[1]
    return end >= 0 && bytes.length >= end + 4 + Number(length ?? 0)
  }
  return async (authorization: string | undefined): Promise<Exchange & { readonly status: number }> => {
    const line = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`
    const exchange = await socket.ask(`GET /who HTTP/1.1\r\nHost: gate\r\n${line}\r\n`, isWhole)
    return { ...exchange, status: Number(exchange.answer.toString('latin1', 9, 12)) }
  }
}

/** The nonce that a 401 offers. */
export function nonceOf(answer: Buffer): string {
  const challenge = /^www-authenticate: digest (.*)\r$/im.exec(answer.toString('latin1'))?.[1] ?? ''
  return parseAuthParams(challenge)?.get('nonce') ?? ''
}

const isMessage = (bytes: Buffer): boolean => bytes.length >= 5 && bytes.length >= bytes.readInt32BE(1) + 1
const startup = (user: string): Buffer =>
  buildStartupMessage([
    ['user', user],
    ['database', 'shop'],
  ])

/** A login with the password in clear, up to the refusal. */
export async function passwordLogin(socket: TimedSocket, user: string, password: string): Promise<number> {
  const offer = await socket.ask(startup(user), isMessage)
  const secret = new MessageBuilder().begin(front.password).cstring(password).end().take()
  const refusal = await socket.ask(secret, isMessage)
  if (refusal.answer.toString('latin1', 0, 1) !== 'E') throw new Error('the login was not refused')
  return offer.ms + refusal.ms
}

/**
 * A login by SCRAM, up to the refusal. The same is computed for every kind of try, between the same messages: what the gateway has in its
 * caches when the proof arrives must not depend on the client.
 */
export async function scramLogin(
  socket: TimedSocket,
  user: string,
  { clientKey, storedKey }: ScramKeys,
): Promise<number> {
  const bare = `n=,r=${randomBytes(18).toString('base64')}`
  const offer = await socket.ask(startup(user), isMessage)
  const first = Buffer.from(`n,,${bare}`)
  const initial = new MessageBuilder().begin(front.password).cstring('SCRAM-SHA-256').int32(first.length).bytes(first)
  const challenge = await socket.ask(initial.end().take(), isMessage)
  const serverFirst = challenge.answer.toString('latin1', 9)
  const unproven = `c=biws,r=${/^r=([^,]+),/.exec(serverFirst)?.[1] ?? ''}`
  const signature = createHmac('sha256', storedKey).update(`${bare},${serverFirst},${unproven}`).digest()
  const proof = signature.map((byte, at) => byte ^ (clientKey[at] ?? 0))
  const final = Buffer.from(`${unproven},p=${Buffer.from(proof).toString('base64')}`)
  const refusal = await socket.ask(new MessageBuilder().begin(front.password).bytes(final).end().take(), isMessage)
  if (refusal.answer.toString('latin1', 0, 1) !== 'E') throw new Error('the login was not refused')
  return offer.ms + challenge.ms + refusal.ms
}
