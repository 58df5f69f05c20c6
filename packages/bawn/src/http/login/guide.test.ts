import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { startOpenId } from '@bawn/demo/openid'
import { base, Client, startSite, upToCallback } from './site.fixture.ts'

const guide = readFileSync(new URL('../../../../../docs/guide/browser.md', import.meta.url), 'utf8')
const shown = /```yaml\n([\s\S]*?)```/.exec(guide)?.[1] ?? ''

test('the configuration of docs/guide/browser.md lets people in, with what it says to register at the provider', async t => {
  const registered = [...guide.matchAll(/^\| .*URI.* \| `([^`]+)` \|$/gm)].map(([, uri = '']) => uri)
  const [redirectUri = '', loggedOutUri = ''] = registered
  assert.equal(registered.length, 3)
  const provider = await startOpenId({
    audience: 'shop',
    people: [{ id: 'alice', roles: ['staff'], secret: 'wonderland' }],
    browser: { id: 'bawn', secret: 'between us', redirectUri, loggedOutUri },
  })
  t.after(() => provider.close())
  const gate = await startSite(t, {
    issuer: provider.issuer,
    jwks: provider.jwksUrl,
    // As it stands, but for what every machine has of its own.
    configuration: upstream =>
      shown
        .replace('0.0.0.0:443', '127.0.0.1:0')
        .replace('http://127.0.0.1:3000', upstream)
        .replace(
          '"https://id.example", audience',
          `"${provider.issuer}", insecure_http: true, algorithms: [ES256], audience`,
        )
        .replace('https://id.example/jwks', provider.jwksUrl)
        .replaceAll('file:secrets/oidc.secret', 'file:client.secret')
        .replaceAll('file:secrets/oidc.key', 'file:oidc.key')
        .replace('path: .acrakeys', 'path: keys')
        .replace('"env:ACRA_MASTER_KEY"', 'file:master')
        .replace('data/audit.jsonl', 'audit.jsonl'),
  })
  const client = new Client(gate)
  await client.get(await upToCallback(client, `${base}/orders`, 'alice', 'wonderland'))
  const page = await client.get(`${base}/orders`)
  assert.equal(page.status, 200)
  assert.match(page.body, /"user":"alice"/)
  assert.match(client.cookie('__Host-bawn')?.line ?? '', /Max-Age=28800;/)
})
