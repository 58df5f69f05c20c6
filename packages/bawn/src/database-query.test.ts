import assert from 'node:assert/strict'
import { createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { TLSSocket } from 'node:tls'
import { createAuthority } from '@bawn/demo/certificates'
import { createDatabaseQuery } from './database-query.ts'
import type { UpstreamTarget } from './postgres/state.ts'

const password = 'of the gateway'
const authority = createAuthority('test authority')

/** Answers the startup message with `answer` and keeps what the client says after it, until it hangs up. */
async function impostor(answer: Buffer, tls?: { readonly key: string; readonly certificate: string }) {
  const said = Promise.withResolvers<string>()
  const talk = (socket: Socket) => {
    let text = ''
    socket.once('data', () => {
      socket.write(answer)
      socket.on('data', more => {
        text += more.toString('latin1')
        socket.destroy()
      })
    })
    socket.on('error', () => {})
    socket.on('close', () => said.resolve(text))
  }
  const server = createServer(socket => {
    if (tls === undefined) {
      talk(socket)
      return
    }
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write('S')
      talk(new TLSSocket(socket, { isServer: true, key: tls.key, cert: tls.certificate }))
    })
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  after(() => server.close())
  const address = server.address()
  return { port: typeof address === 'object' && address !== null ? address.port : 0, said: said.promise }
}

function target(port: number, more: Partial<UpstreamTarget> = {}): UpstreamTarget {
  return {
    host: '127.0.0.1',
    port,
    database: 'shop',
    tls: undefined,
    user: 'gateway',
    password,
    connectTimeoutMs: 5_000,
    probeAfterMs: 30_000,
    ...more,
  }
}

const cleartext = Buffer.from('520000000800000003', 'hex')
const md5 = Buffer.from('520000000c0000000501020304', 'hex')

for (const row of [
  { name: 'the password in clear, without TLS', answer: cleartext },
  { name: 'its md5, which can be replayed from what a server keeps', answer: md5 },
]) {
  test(`a server that asks for ${row.name}, gets nothing and no open connection`, async () => {
    const { port, said } = await impostor(row.answer)
    const asked = createDatabaseQuery(target(port))
    await assert.rejects(async () => asked.query('SELECT 1', []))
    assert.doesNotMatch(await said, /p\0|gateway|md5/)
    await asked.close()
  })
}

test('inside TLS the password is given in clear', async () => {
  const { port, said } = await impostor(cleartext, authority.issue('db', 'server', ['db.internal']))
  const tls = { ca: authority.certificate, serverName: 'db.internal' }
  const asked = createDatabaseQuery(target(port, { host: 'localhost', tls }))
  await assert.rejects(async () => asked.query('SELECT 1', []))
  assert.match(await said, /of the gateway/)
})

test('the certificate is for server_name, and not for the host that was dialled', async () => {
  const { port, said } = await impostor(cleartext, authority.issue('localhost', 'server', ['localhost']))
  const tls = { ca: authority.certificate, serverName: 'db.internal' }
  const asked = createDatabaseQuery(target(port, { host: 'localhost', tls }))
  await assert.rejects(async () => asked.query('SELECT 1', []), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  assert.equal(await said, '')
})
