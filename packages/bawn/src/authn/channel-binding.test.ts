import assert from 'node:assert/strict'
import { hash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { serverEndPointHash } from './channel-binding.ts'

const rows: readonly { readonly file: string; readonly hash: string | undefined }[] = [
  { file: 'app-one.pem', hash: 'sha256' },
  { file: 'app-one-reversed.pem', hash: 'sha384' },
  { file: 'authority.pem', hash: 'sha512' },
  { file: 'rsa-sha256.pem', hash: 'sha256' },
  { file: 'rsa-sha1.pem', hash: 'sha256' },
  { file: 'rsa-pss-sha384.pem', hash: 'sha384' },
  { file: 'ed25519.pem', hash: undefined },
]
for (const row of rows) {
  test(`tls-server-end-point of ${row.file} is ${row.hash ?? 'undefined'}`, () => {
    const { raw } = new X509Certificate(readFileSync(new URL(`../../../../vectors/authn/${row.file}`, import.meta.url)))
    const expected = row.hash === undefined ? undefined : hash(row.hash, raw, 'hex')
    const found = serverEndPointHash(raw)
    assert.equal(found === undefined ? undefined : Buffer.from(found).toString('hex'), expected)
  })
}
