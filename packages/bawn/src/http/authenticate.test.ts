import assert from 'node:assert/strict'
import { test } from 'node:test'
import { authenticate } from './authenticate.ts'
import { bearer } from './kit.test.ts'

test('a bearer token in one Authorization header, and nothing else, identifies', async () => {
  const rows: readonly (readonly [readonly string[], string, string | undefined])[] = [
    [[], 'absent', undefined],
    [['Bearer alice'], 'identified', undefined],
    [['bearer alice'], 'identified', undefined],
    [['BEARER  alice'], 'identified', undefined],
    [['Bearer alice', 'Bearer alice'], 'http.bad_authorization', 'error="invalid_request"'],
    [['Bearer expired'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer mallory'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer '], 'authn.failed', 'error="invalid_token"'],
    [[''], 'authn.failed', 'error="invalid_token"'],
    [['alice'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer alice, Bearer bob'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer alice x'], 'authn.failed', 'error="invalid_token"'],
    [['Bearer al\u00efce'], 'authn.failed', 'error="invalid_token"'],
    [['Basic YWxpY2U6eA=='], 'authn.failed', 'error="invalid_token"'],
    [['Bearer outage'], 'http.cannot_authenticate', undefined],
  ]
  const challenges = new Set<string>()
  for (const [values, expected, challenge] of rows) {
    const got = await authenticate(values, bearer)
    assert.equal(got.kind === 'refused' ? got.code : got.kind, expected, JSON.stringify(values))
    if (got.kind !== 'refused') continue
    assert.ok(
      challenge === undefined ? got.challenge === undefined : got.challenge?.includes(challenge),
      JSON.stringify(values),
    )
    if (got.code === 'authn.failed') challenges.add(got.challenge ?? '')
  }
  assert.equal(challenges.size, 1, 'one text for every reason')
  const unused = await authenticate(['Bearer alice'], undefined)
  assert.equal(unused.kind === 'refused' && unused.code, 'http.refused_here')
})
