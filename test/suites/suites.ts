import { asyncpg } from './asyncpg.ts'
import { django } from './django.ts'
import { nodePostgres } from './node-postgres.ts'
import { pgjdbc } from './pgjdbc.ts'
import { pgx } from './pgx.ts'
import { psycopg2 } from './psycopg2.ts'
import { regression } from './regression.ts'
import { sqlalchemy } from './sqlalchemy.ts'
import type { Suite } from './suite.ts'

/** All of them, in the order of the table. */
export const suites: readonly Suite[] = [pgx, pgjdbc, psycopg2, asyncpg, nodePostgres, sqlalchemy, django, regression]
