import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { canonicalSubject, clientIdOf } from './client-id.ts'
import { parseCertificate } from './x509.ts'

interface Vector {
  readonly file: string
  readonly comment: string
  readonly subject?: string
  readonly client_id?: string
  readonly client_id_by_serial?: string
  readonly expect?: string
}

const folder = new URL('../../../../vectors/authn/', import.meta.url)
const { vectors } = JSON.parse(readFileSync(new URL('client-id.json', folder), 'utf8')) as {
  readonly vectors: readonly Vector[]
}

for (const vector of vectors) {
  test(`${vector.file}: ${vector.comment}`, () => {
    const certificate = new X509Certificate(readFileSync(new URL(vector.file, folder)))
    if (vector.expect !== undefined) {
      assert.throws(() => clientIdOf(certificate, 'distinguished_name'), { code: vector.expect })
      return
    }
    assert.equal(canonicalSubject(parseCertificate(certificate.raw).subject), vector.subject)
    assert.equal(clientIdOf(certificate, 'distinguished_name'), vector.client_id)
    if (vector.client_id_by_serial !== undefined) {
      assert.equal(clientIdOf(certificate, 'serial_number'), vector.client_id_by_serial)
    }
  })
}

test('a long attribute has a long length', () => {
  for (const [length, prefix] of [
    [127, '137f'],
    [128, '138180'],
    [255, '1381ff'],
    [256, '13820100'],
  ] as const) {
    const text = canonicalSubject([{ oid: '1.2.3', value: 'a'.repeat(length) }])
    assert.equal(text, `1.2.3=#${prefix}${'61'.repeat(length)}`)
  }
})
