import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startPostgres } from '@bawn/demo/postgres'
import pg from 'pg'

// docs/guide/first-table.md, pasted into a shell: every command in it, in order, on a real database.

const root = join(import.meta.dirname, '../..')
const guide = readFileSync(join(root, 'docs/guide/first-table.md'), 'utf8')
const commands = [...guide.matchAll(/^```sh\n(.*?)^```/gms)].map(match => match[1] ?? '')

test('the guide to the first protected column works as it stands', async () => {
  const database = await startPostgres({ database: 'shop' })
  const folder = mkdtempSync(join(tmpdir(), 'bawn-guide-'))
  // As where `npm install bawn` ran.
  writeFileSync(join(folder, 'package.json'), '{}')
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  try {
    const { host, port, user, password } = database
    const client = new pg.Client({ host, port, user, password, database: 'shop' })
    client.on('error', () => {})
    await client.connect()
    await client.query(`create table customers (id int primary key, name text, email text);
      insert into customers values (1, 'Ada', 'ada@example.com'), (2, 'O''Neill', 'o''neill@example.com'), (3, 'Nobody', null)`)
    const shell = spawn('bash', ['-c', ['set -euo pipefail', ...commands].join('\n')], {
      cwd: folder,
      // A process group: the gateway that the guide starts in the background ends with it.
      detached: true,
      timeout: 60_000,
      env: {
        ...process.env,
        PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH']}`,
        PGPORT: String(port),
        DATABASE_USER: user,
        DATABASE_PASSWORD: password,
      },
    })
    let stdout = ''
    let stderr = ''
    shell.stdout.on('data', text => {
      stdout += text
    })
    shell.stderr.on('data', text => {
      stderr += text
    })
    const [status] = await once(shell, 'exit')
    if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGKILL')
    assert.equal(status, 0, `${stdout}\n${stderr}`)
    assert.match(stdout, /^Ada\|ada@example\.com\nAda\|a\*+@example\.com\n252525..\n$/m)
    const stored = await client.query('select id, email_sealed from customers order by id')
    await client.end()
    for (const { id, email_sealed: sealed } of stored.rows) {
      if (id === 3) assert.equal(sealed, null)
      else assert.equal(sealed.subarray(0, 3).toString(), '%%%')
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
    await database.stop()
  }
})
