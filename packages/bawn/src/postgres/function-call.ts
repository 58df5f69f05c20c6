import { noteTraces } from './pool/trace-notes.ts'
import { tracesOf } from './pool/traces.ts'
import { refuse, refusePlan } from './refuse.ts'
import type { Step, Turn } from './turn.ts'
import { BodyReader } from './wire/body-reader.ts'

// FunctionCall: the message by which drivers use large objects. It names a function by its OID and goes past SQL.

/** PostgreSQL's own functions of large objects, by their OIDs, which are the same in every database; not those that use the server's files. */
const largeObjectFunctions: ReadonlyMap<number, string> = new Map([
  [715, 'lo_create($1)'],
  [952, 'lo_open($1, $2)'],
  [953, 'lo_close($1)'],
  [954, 'loread($1, $2)'],
  [955, 'lowrite($1, $2)'],
  [956, 'lo_lseek($1, $2, $3)'],
  [957, 'lo_creat($1)'],
  [958, 'lo_tell($1)'],
  [964, 'lo_unlink($1)'],
  [1004, 'lo_truncate($1, $2)'],
  [3170, 'lo_lseek64($1, $2, $3)'],
  [3171, 'lo_tell64($1)'],
  [3172, 'lo_truncate64($1, $2)'],
  [3457, 'lo_from_bytea($1, $2)'],
  [3458, 'lo_get($1)'],
  [3459, 'lo_get($1, $2, $3)'],
  [3460, 'lo_put($1, $2, $3)'],
])

const texts: ReadonlyMap<number, Buffer> = new Map(
  Array.from(largeObjectFunctions, ([oid, call]) => [oid, Buffer.from(`SELECT pg_catalog.${call}`)]),
)

/**
 * FunctionCall: goes on where it calls a function of large objects, and where the same call in a SELECT would: row filters, firewall and
 * grants decide by that text. What any other function reads or writes is not known, so it is refused.
 */
export function functionCall(turn: Turn): Step {
  const { talk, reader } = turn
  const text = texts.get(new BodyReader(reader.buffer, reader.start + 5, reader.end).uint32())
  if (text === undefined) {
    return refuse(talk, 'query', 'postgres.function_call', 'the function call message calls large objects alone')
  }
  const planned = turn.plan(text)
  if (planned === undefined) return 'wait'
  if (planned instanceof Error) return refuse(talk, 'query', planned.code, planned.message)
  const { plan, reading, notes } = planned
  // Where in the text: the client has sent none.
  if (plan.kind === 'refused') return refusePlan(talk, 'query', text, { ...plan, offset: undefined })
  if (plan.kind !== 'pass' || planned.account !== undefined) {
    return refuse(talk, 'query', 'postgres.function_call', 'the function has become one over protected columns')
  }
  talk.tellFirewall(notes)
  talk.noteRun(plan)
  noteTraces(talk, talk.prepared === undefined ? undefined : tracesOf(text), talk.noteSent(plan, reading))
  talk.send({ kind: 'query', functionCall: true })
  talk.tellPass()
  turn.forward()
  return 'next'
}
