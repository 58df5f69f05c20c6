import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseNeed } from '../accounts/grant-target.ts'
import { snapshotOf } from './grants.fixture.ts'
import { compileGrants } from './resolve.ts'

const guide = readFileSync(new URL('../../../../docs/guide/grants.md', import.meta.url), 'utf8')
const need = parseNeed('DQL on table shop.public.people')
const rows = [...guide.matchAll(/^\| (none|`[^`]+`) \| (yes|no) \| (nothing|`[^`]+`) \|$/gm)]

test('the guide has examples', () => assert.equal(rows.length, 14))

for (const [, entries = '', answer, by = ''] of rows) {
  test(`the guide says: ${entries}: ${answer}`, () => {
    const statements = entries === 'none' ? '' : entries.replaceAll('`', '')
    // `GRANT support TO alice` grants a role.
    const given = [...statements.matchAll(/GRANT ([a-z]+) TO/g)].map(([, role = '']) => role)
    const snapshot = snapshotOf(statements.replaceAll(/GRANT ([a-z]+) TO/g, 'ROLE $1 TO'))
    const compiled = compileGrants({ ...snapshot, roleNames: new Set(given) })
    assert(need !== undefined)
    assert.deepEqual(compiled.decide(compiled.account('alice'), need), {
      kind: answer === 'yes' ? 'permit' : 'deny',
      rule: by === 'nothing' ? 'nothing grants DQL on table shop.public.people' : by.replaceAll('`', ''),
    })
  })
}
