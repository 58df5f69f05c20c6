import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'

// The badge office: node make-badge.ts ID ROLE… prints a badge that is good for an hour, signed with the key in badge.key.

const [id = 'bea', ...roles] = process.argv.slice(2)
const key = readFileSync('badge.key', 'utf8').replace(/\r?\n$/, '')
const exp = Math.floor(Date.now() / 1000) + 3_600
const payload = Buffer.from(JSON.stringify({ id, roles, exp })).toString('base64url')
console.log(`${payload}.${createHmac('sha256', key).update(payload).digest('base64url')}`)
