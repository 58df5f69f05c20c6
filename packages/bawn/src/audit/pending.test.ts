import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PendingLines } from './pending.ts'

const mac = (n: number): string => `mac ${n}`

test('whatever a write takes and wherever it fails, the bytes come out whole and once', () => {
  const lines = ['first\n', 'the second\n', 'third\n']
  const whole = lines.join('')
  for (let take = 1; take <= whole.length; take++) {
    for (let failAt = 0; failAt <= whole.length; failAt++) {
      const pending = new PendingLines(mac(0))
      let out = ''
      let room = failAt
      const write = (bytes: Buffer): number => {
        const n = Math.min(take, room, bytes.length)
        if (n === 0) throw new Error('disk full')
        room -= n
        out += bytes.toString('latin1', 0, n)
        return n
      }
      pending.add(lines[0] ?? '', mac(1))
      pending.add(lines[1] ?? '', mac(2))
      const failed = failAt < 17
      if (failed) {
        assert.throws(() => pending.drain(write), /disk full/)
        assert.equal(pending.writtenMac, mac(0))
      } else {
        pending.drain(write)
        assert.equal(pending.writtenMac, mac(2))
      }
      pending.add(lines[2] ?? '', mac(3))
      room = 1000
      pending.drain(write)
      assert.equal(out, whole)
      assert.equal(pending.isEmpty, true)
      assert.equal(pending.writtenMac, mac(3))
    }
  }
})
