import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from './load.ts'

const example = readFileSync(new URL('example.yaml', import.meta.url), 'utf8')

/** Which rules are said to be never reached, and by which, when these stand in the example. */
function unreached(rules: readonly string[]): readonly string[] {
  const text = example.replace(
    /host_rules:\n( .*\n)+/,
    `host_rules:\n${rules.map(rule => `  - { ${rule} }\n`).join('')}`,
  )
  const loaded = parseConfig('/etc/bawn/bawn.yaml', new TextEncoder().encode(text))
  const found = loaded.kind === 'ok' ? loaded.warnings : assert.fail(loaded.problems.map(one => one.message).join('\n'))
  return found.flatMap(({ path, message }) => {
    const by = /^this rule is never reached: (.*) holds? for everybody that it is for$/.exec(message)?.[1]
    return by === undefined ? [] : [`${path.replace('host_rules.', '')} by ${by.replaceAll('host_rules', '')}`]
  })
}

const use = 'use: [jwt]'
const rows: readonly { readonly rules: readonly string[]; readonly says: readonly string[] }[] = [
  { rules: [use], says: [] },
  { rules: [use, use], says: ['1 by [0]'] },
  { rules: [use, `address: local, ${use}`, `tls: off, ${use}`], says: ['1 by [0]', '2 by [0]'] },
  { rules: [`name: all, ${use}`, `door: http, ${use}`], says: ['1 by all'] },
  { rules: [`door: http, ${use}`, use], says: [] },
  { rules: [`door: http, ${use}`, `door: postgres, ${use}`, use], says: ['2 by [0] and [1]'] },
  { rules: [`tls: on, ${use}`, use], says: [] },
  { rules: [`tls: on, ${use}`, `tls: off, ${use}`, use], says: ['2 by [0] and [1]'] },
  { rules: [`tls: optional, ${use}`, `tls: on, ${use}`], says: ['1 by [0]'] },
  { rules: [`address: 10.0.0.0/8, ${use}`, `address: 10.1.0.0/16, ${use}`], says: ['1 by [0]'] },
  { rules: [`address: 10.1.0.0/16, ${use}`, `address: 10.0.0.0/8, ${use}`], says: [] },
  { rules: [`address: 10.0.0.0/8, ${use}`, `address: [10.0.0.7, 11.0.0.7], ${use}`], says: [] },
  { rules: [`address: [10.0.0.0/8, 11.0.0.0/8], ${use}`, `address: [10.0.0.7, 11.0.0.7], ${use}`], says: ['1 by [0]'] },
  {
    rules: [`address: 10.0.0.0/8, ${use}`, `address: 11.0.0.0/8, ${use}`, `address: [10.0.0.7, 11.0.0.7], ${use}`],
    says: ['2 by [0] and [1]'],
  },
  { rules: [`address: 127.0.0.0/8, ${use}`, `address: local, ${use}`], says: [] },
  { rules: [`address: ["127.0.0.0/8", "::1"], ${use}`, `address: local, ${use}`], says: ['1 by [0]'] },
  { rules: [`address: local, ${use}`, `address: 127.0.0.1, ${use}`], says: ['1 by [0]'] },
  { rules: [`address: "2001:db8::/32", ${use}`, `address: "2001:db8:1::/48", ${use}`], says: ['1 by [0]'] },
  { rules: [`address: "::/0", ${use}`, `address: 10.0.0.1, ${use}`], says: [] },
  { rules: [`address: 0.0.0.0/0, ${use}`, `address: 10.0.0.1, ${use}`], says: ['1 by [0]'] },
  { rules: [`address: db.example, ${use}`, `address: DB.example., ${use}`], says: ['1 by [0]'] },
  { rules: [`address: db.example, ${use}`, `address: a.db.example, ${use}`], says: [] },
  { rules: [`address: .example, ${use}`, `address: .corp.example, ${use}`], says: ['1 by [0]'] },
  { rules: [`address: .corp.example, ${use}`, `address: .example, ${use}`], says: [] },
  { rules: [`address: 10.0.0.0/8, ${use}`, `address: db.example, ${use}`], says: [] },
  { rules: [`address: db.example, ${use}`, `address: 10.0.0.7, ${use}`], says: [] },
  { rules: [`door: postgres, user: [a, b], ${use}`, `door: postgres, user: b, ${use}`], says: ['1 by [0]'] },
  { rules: [`door: postgres, user: a, ${use}`, `door: postgres, user: [a, b], ${use}`], says: [] },
  { rules: [`door: postgres, user: a, tls: on, ${use}`, `door: postgres, user: a, ${use}`], says: [] },
  {
    rules: [`door: postgres, database: shop, ${use}`, `door: postgres, database: shop, user: a, ${use}`],
    says: ['1 by [0]'],
  },
  {
    rules: [`door: http, route: /customers, ${use}`, `door: http, route: /customers, tls: on, ${use}`],
    says: ['1 by [0]'],
  },
  {
    rules: [`door: http, route: /*, ${use}`, `door: http, route: [/customers, "/customers/{id}"], ${use}`],
    says: ['1 by [0]'],
  },
  { rules: [`door: http, route: /customers/*, ${use}`, `door: http, route: /customers, ${use}`], says: [] },
  { rules: [`door: http, route: /customers, ${use}`, `door: http, ${use}`], says: [] },
  // Rules that name users say nothing at the HTTP door, so they cover nothing there.
  { rules: [`user: a, ${use}`, use], says: [] },
]
for (const row of rows) {
  test(row.rules.map(rule => `{ ${rule.replace(`, ${use}`, '').replace(use, '')} }`).join(' '), () => {
    assert.deepEqual(unreached(row.rules), row.says)
  })
}

test('a rule with more cases than can be looked at is not said to be unreached', () => {
  const many = (prefix: string) => Array.from({ length: 40 }, (_, index) => `${prefix}${index}`).join(', ')
  const rule = `door: postgres, user: [${many('u')}], address: [${many('10.0.0.')}], ${use}`
  assert.deepEqual(unreached([use, rule]), [])
})
