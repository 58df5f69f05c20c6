import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { readIntoSlab, slab } from '../socket-fast-path.ts'
import { ByteInput } from './byte-input.ts'
import { MessageBuilder } from './wire/builder.ts'
import { WireError } from './wire/wire-error.ts'

const bodies = ['', 'a', 'something longer', '\0\0', 'end']
const letters = [...'RSKZE']
const stream = ((): Buffer => {
  const builder = new MessageBuilder()
  for (const [index, body] of bodies.entries()) {
    builder
      .begin(letters[index]?.charCodeAt(0) ?? 0)
      .bytes(Buffer.from(body))
      .end()
  }
  return builder.take()
})()

/** @param bring how the bytes of a chunk lie in memory */
async function readAll(chunks: readonly Buffer[], bring: (chunk: Buffer) => Buffer): Promise<readonly string[]> {
  const socket = new Socket()
  const input = new ByteInput(socket)
  const messages = (async () => {
    const all: { readonly type: number; readonly body: Buffer; readonly whole: Buffer }[] = []
    while (all.length < bodies.length) all.push(input.takeMessage(100) ?? (await input.readMessage(100)))
    return all
  })()
  for (const chunk of chunks) {
    socket.emit('data', bring(chunk))
    slab.fill(0xff, 0, 64)
    await new Promise(resolve => setImmediate(resolve))
  }
  const read = await messages
  assert.deepEqual(Buffer.concat(read.map(({ whole }) => whole)), stream)
  assert.equal(input.release().length, 0)
  return read.map(({ type, body }) => `${String.fromCharCode(type)} ${body}`)
}

test('the same messages come out however the bytes arrive, and stay when the memory of a chunk is used again', async () => {
  const expected = bodies.map((body, index) => `${letters[index]} ${body}`)
  const lent = (chunk: Buffer): Buffer => {
    chunk.copy(slab)
    return readIntoSlab(chunk.length)
  }
  for (const bring of [Buffer.from, lent]) {
    assert.deepEqual(await readAll([stream], bring), expected)
    for (let cut = 1; cut < stream.length; cut += 1) {
      assert.deepEqual(await readAll([stream.subarray(0, cut), stream.subarray(cut)], bring), expected, `cut at ${cut}`)
    }
    assert.deepEqual(
      await readAll(
        Array.from(stream, byte => Buffer.of(byte)),
        bring,
      ),
      expected,
    )
  }
})

test('a message that announces too much or too little is refused before it has come', async () => {
  for (const length of [101, 0x7fffffff, 3, 0, -1]) {
    const socket = new Socket()
    const input = new ByteInput(socket)
    const head = Buffer.from('R0000')
    head.writeInt32BE(length, 1)
    socket.emit('data', head)
    assert.throws(() => input.takeMessage(100), WireError)
    await assert.rejects(input.readMessage(100), WireError)
  }
})

test('what is filled with zeros is gone from what was received', async () => {
  const socket = new Socket()
  const input = new ByteInput(socket)
  const received = Buffer.from('p\0\0\0\x0asecretp')
  socket.emit('data', received)
  const { body } = await input.readMessage(100)
  assert.equal(body.toString(), 'secret')
  body.fill(0)
  assert.equal(received.toString('latin1'), `p\0\0\0\x0a${'\0'.repeat(6)}p`)
})
