import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withTables } from './rows.ts'

// Writes the tables of docs/guide/sql.md anew: node test/sql-guide/write.ts

const page = join(import.meta.dirname, '../../docs/guide/sql.md')
writeFileSync(page, withTables(readFileSync(page, 'utf8')))
