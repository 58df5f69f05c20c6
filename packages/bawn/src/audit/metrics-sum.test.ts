import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from './metrics.ts'
import { sumExpositions } from './metrics-sum.ts'

const series = (text: string, name: string): string | undefined =>
  text.split('\n').find(line => line.startsWith(`${name} `))

test('counters, gauges and histograms of threads are added; what is the process’s is not', () => {
  const threads = [0, 1, 2, 3].map(() => createMetrics({ version: '1' }, 0))
  const [first, one, other, ended] = threads
  assert.ok(first && one && other && ended)
  for (const metrics of [one, other, other, ended]) metrics.requests.add('http', 'permit')
  for (const metrics of [one, other]) metrics.sessions.set(3, 'postgres')
  ended.sessions.set(5, 'postgres')
  one.requestSeconds.observe(0.2, 'http')
  other.requestSeconds.observe(0.2, 'http')
  first.workers.set(2)
  one.requests.add('http', 'deny')
  const text = sumExpositions(first.expose(), [one.expose(), other.expose()], [ended.expose()])
  for (const [name, wanted] of [
    ['bawn_requests_total{door="http",decision="permit"}', '4'],
    ['bawn_requests_total{door="http",decision="deny"}', '1'],
    ['bawn_sessions{door="postgres"}', '6'],
    ['bawn_request_seconds_bucket{door="http",le="0.1"}', '0'],
    ['bawn_request_seconds_bucket{door="http",le="0.25"}', '2'],
    ['bawn_request_seconds_count{door="http"}', '2'],
    ['bawn_request_seconds_sum{door="http"}', '0.4'],
    ['bawn_audit_writable', '1'],
    ['bawn_workers', '2'],
  ] as const)
    assert.equal(series(text, name), `${name} ${wanted}`)
  // One of each, in one order, as the first has it.
  const heads = (from: string): string[] => from.split('\n').filter(line => line.startsWith('# '))
  assert.deepEqual(heads(text), heads(first.expose()))
})

test('what ended workers had counted adds up again and again', () => {
  const worker = createMetrics({ version: '1' }, 0)
  worker.requests.add('http', 'permit')
  let ended = ''
  for (let n = 0; n < 3; n++) ended = sumExpositions('', [], [ended, worker.expose()])
  const name = 'bawn_requests_total{door="http",decision="permit"}'
  assert.equal(series(sumExpositions(worker.expose(), [], [ended]), name), `${name} 4`)
  assert.doesNotMatch(ended, /bawn_sessions/)
})
