import type { HealthCheckOptions } from '../option.ts'
import { HttpError } from '../problem.ts'
import type { TargetHealth } from './target-health.ts'
import type { Upstream } from './upstream.ts'

/**
 * Asks one server again and again whether it is well: a GET, whose answer has one of the statuses within the time. So many answers in a row of
 * one kind change what is thought of it.
 *
 * @returns stops it
 */
export function watchHealth(server: Upstream, options: HealthCheckOptions, health: TargetHealth): () => void {
  const statuses = new Set(options.status)
  let inARow = 0
  let was = true
  let giveUp: (() => void) | undefined
  const settle = (isWell: boolean): void => {
    giveUp = undefined
    inARow = isWell === was ? inARow + 1 : 1
    was = isWell
    if (inARow >= (isWell ? options.healthy : options.unhealthy)) health.found(isWell)
  }
  const ask = (): void => {
    // The last question is still open: its time-out will tell.
    if (giveUp !== undefined) return
    let isSettled = false
    const once = (isWell: boolean | undefined): void => {
      if (isSettled) return
      isSettled = true
      if (isWell === undefined) giveUp = undefined
      else settle(isWell)
    }
    giveUp = () => {}
    const stop = server.send(
      {
        method: 'GET',
        target: options.path,
        head: 'User-Agent: bawn-health-check\r\nAccept: */*\r\n',
        body: { kind: 'none' },
        responseMs: options.timeout,
      },
      {
        answer: ({ head, whole, body }) => {
          if (whole === undefined) body.cancel()
          once(statuses.has(head.status))
        },
        // Nobody was asked where all connections are taken: that says nothing of how the server is.
        fail: error => once(error instanceof HttpError && error.code === 'http.upstream_busy' ? undefined : false),
      },
    )
    if (!isSettled) giveUp = stop
  }
  const timer = setInterval(ask, options.interval).unref()
  ask()
  return () => {
    clearInterval(timer)
    giveUp?.()
  }
}
