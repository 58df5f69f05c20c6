import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { signatureAlgorithms } from '../../packages/bawn/src/authn/issuer-option.ts'
import { parseKeySet } from '../../packages/bawn/src/authn/jwk.ts'
import { isSignatureOf, parseCompactJws } from '../../packages/bawn/src/authn/jws.ts'

// The vectors of C2SP/wycheproof for JWS and JWK against our verifier. They are not in this repository: BAWN_WYCHEPROOF names the
// folder that has them (testvectors_v1 of that project). Every "invalid" has to be refused, and every "valid" accepted but these:
const folder = process.env['BAWN_WYCHEPROOF']

interface Group {
  readonly comment: string
  readonly public?: object
  readonly private?: object
  readonly tests: readonly {
    readonly tcId: number
    readonly comment: string
    readonly jws: unknown
    readonly result: string
  }[]
}

/** Valid ones that we refuse on purpose, by group and number. */
const refusedOnPurpose: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  'json_web_signature_test.json': {
    346: 'the key says alg PS256, the token PS384',
    350: 'the key says alg PS256, the token PS384',
    347: 'the key says alg ES521, which does not exist',
    351: 'the key says alg ES521, which does not exist',
    372: 'a character that is not base64url',
    373: 'a character that is not base64url',
  },
}

function isAccepted(keys: object, token: unknown): boolean {
  if (typeof token !== 'string') return false
  const set = parseKeySet(Buffer.from(JSON.stringify('keys' in keys ? keys : { keys: [keys] })))
  const jws = parseCompactJws(token)
  if (set.kind === 'malformed' || jws === undefined) return false
  const algorithm = signatureAlgorithms.find(name => name === jws.header['alg'])
  const named = set.keys.filter(key => jws.header['kid'] === undefined || key.kid === jws.header['kid'])
  return algorithm !== undefined && named.some(key => isSignatureOf(key, algorithm, jws))
}

for (const file of ['json_web_signature_test.json', 'json_web_key_test.json']) {
  test(file, () => {
    assert(folder !== undefined, 'BAWN_WYCHEPROOF has to name the folder of the vectors')
    const { testGroups } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
      readonly testGroups: readonly Group[]
    }
    const wrong: string[] = []
    let accepted = 0
    for (const group of testGroups) {
      // Groups without a public key are about keys that are shared (HS256), of which we take none.
      const keys = group.public ?? group.private ?? {}
      for (const { tcId, comment, jws, result } of group.tests) {
        const found = isAccepted(keys, jws)
        const wanted = result === 'valid' && group.public !== undefined && refusedOnPurpose[file]?.[tcId] === undefined
        if (found) accepted++
        if (found !== wanted) wrong.push(`${tcId} (${group.comment}, ${comment}): ${found ? 'accepted' : 'refused'}`)
      }
    }
    assert.deepEqual(wrong, [])
    assert.ok(accepted > 0)
  })
}
