import { setTimeout } from 'node:timers/promises'
import { type Asker, codeOf, pick, reachOf, sqlClient } from './ask.ts'
import type { Ledger, Outcome } from './ledger.ts'
import { type SoakWorld, staff } from './world.ts'

const pauseMs = 250
const caller = 'session whose token runs out'

/** One session after the other that goes on until its token has run out: then it gets no answer any more. Until it is told to stop. */
export async function watchExpiry(
  { issuer }: SoakWorld,
  asker: Asker,
  ledger: Ledger,
  stopping: AbortSignal,
): Promise<void> {
  ledger.expect(caller)
  while (!stopping.aborted) {
    const token = issuer.tokenOf(pick(staff))
    const from = performance.now()
    const node = asker.someNode
    const outcome = token && (await outlive(node, token.user, token.text, token.expiresAt, stopping))
    if (outcome !== undefined) ledger.note(caller, outcome, from)
    await setTimeout(pauseMs)
  }
}

async function outlive(
  node: Asker['someNode'],
  user: string,
  token: string,
  expiresAt: number,
  stopping: AbortSignal,
): Promise<Outcome | undefined> {
  const client = sqlClient(node, user, token)
  let told: unknown
  client.once('error', error => {
    told = error
  })
  try {
    await client.connect()
  } catch {
    // Whether it should have been let in is for the other callers to say.
    return undefined
  }
  try {
    while (!stopping.aborted) {
      const isOver = Date.now() >= expiresAt
      await client.query('select 1')
      if (isOver) return { kind: 'wrong', what: `${node.name}: an answer after its token’s end` }
      await setTimeout(pauseMs)
    }
    return undefined
  } catch (error) {
    // The gateway says so without being asked, too; then the client cannot ask any more.
    const code = codeOf(told) ?? codeOf(error)
    const isEnd = code === '57P01' && Date.now() >= expiresAt
    const what = `${node.name}: ${code} ${told ?? error}, ${expiresAt - Date.now()} ms before its token’s end`
    return isEnd ? { kind: 'right' } : { kind: 'away', what, needs: ['postgres', ...reachOf(node)] }
  } finally {
    await client.end().catch(() => {})
  }
}
