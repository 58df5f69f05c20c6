import type { DoorName, MechanismName, RejectionReason } from '../authn/identity.ts'
import type { AuditEvent, FieldUse } from './event.ts'
import {
  type Counter,
  createCounter,
  createGauge,
  createHistogram,
  createReading,
  type Exposed,
  type Gauge,
  type Histogram,
} from './series.ts'

export type LoginOutcome = 'identified' | 'absent' | 'undecided' | RejectionReason

/** Everything the gateway counts. Made once; doors hold it and call its members. */
export interface Metrics {
  /** `bawn_requests_total{door,decision}`: HTTP requests, statements that the trail speaks of, admin calls. */
  readonly requests: Counter<[door: DoorName, decision: AuditEvent['decision']]>
  /** `bawn_logins_total{door,mechanism,outcome}`; mechanism `none` when no mechanism was tried. */
  readonly logins: Counter<[door: DoorName, mechanism: MechanismName | 'none', outcome: LoginOutcome]>
  /** `bawn_fields_total{field,as}`: values, not rows. */
  readonly fields: Counter<[field: string, as: FieldUse['as']]>
  /** `bawn_errors_total{door,code}`: answers that carried an error code. */
  readonly errors: Counter<[door: DoorName, code: string]>
  /** `bawn_request_seconds{door}`: from the whole request head (or statement) to the end of the answer. */
  readonly requestSeconds: Histogram<[door: DoorName]>
  /** `bawn_sessions{door}`: connections that are open. */
  readonly sessions: Gauge<[door: DoorName]>
  /** `bawn_audit_writable`: 1 while the trail can be written, else 0. */
  readonly auditWritable: Gauge<[]>
  /** `bawn_access_log_dropped_lines_total`: lines of the access log that could not be written. */
  readonly accessLogDropped: Counter<[]>
  /** `bawn_config_reloads_total{outcome}`. */
  readonly reloads: Counter<[outcome: 'swapped' | 'refused']>
  /** `bawn_workers`: those that serve. */
  readonly workers: Gauge<[]>
  /** `bawn_worker_ends_total`: workers that ended without being asked to. */
  readonly workerEnds: Counter<[]>
  /** `bawn_shared_limits_away`: threads that count for themselves, for Redis of `rate_limits` does not answer. */
  readonly sharedLimitsAway: Gauge<[]>
  /** Prometheus text exposition; its media type is `metricsContentType`. */
  expose(): string
}

export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8'

/** From a tenth of a millisecond, which is what the gateway itself costs, to the default timeout of a request. */
const requestBounds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
]

/**
 * @param build version of the gateway
 * @param startedAt ms since 1970
 */
export function createMetrics(build: { readonly version: string }, startedAt: number): Metrics {
  const exposed: Exposed[] = []
  const keep = <T extends Exposed>(metric: T): T => {
    exposed.push(metric)
    return metric
  }
  const metrics: Metrics = {
    requests: keep(
      createCounter({
        name: 'bawn_requests_total',
        help: 'Requests and statements decided.',
        labels: ['door', 'decision'],
      }),
    ),
    logins: keep(
      createCounter({ name: 'bawn_logins_total', help: 'Logins tried.', labels: ['door', 'mechanism', 'outcome'] }),
    ),
    fields: keep(
      createCounter({
        name: 'bawn_fields_total',
        help: 'Values of protected fields, by how they were shown.',
        labels: ['field', 'as'],
      }),
    ),
    errors: keep(
      createCounter({ name: 'bawn_errors_total', help: 'Answers with an error code.', labels: ['door', 'code'] }),
    ),
    requestSeconds: keep(
      createHistogram(
        { name: 'bawn_request_seconds', help: 'Time from request to end of answer.', labels: ['door'] },
        requestBounds,
      ),
    ),
    sessions: keep(createGauge({ name: 'bawn_sessions', help: 'Open connections of clients.', labels: ['door'] })),
    auditWritable: keep(
      createGauge({ name: 'bawn_audit_writable', help: '1 while the audit trail can be written.', labels: [] }),
    ),
    accessLogDropped: keep(
      createCounter({
        name: 'bawn_access_log_dropped_lines_total',
        help: 'Lines of the access log that could not be written.',
        labels: [],
      }),
    ),
    reloads: keep(
      createCounter({ name: 'bawn_config_reloads_total', help: 'Reloads of the configuration.', labels: ['outcome'] }),
    ),
    workers: keep(createGauge({ name: 'bawn_workers', help: 'Threads that serve.', labels: [] })),
    workerEnds: keep(
      createCounter({ name: 'bawn_worker_ends_total', help: 'Workers that ended by themselves.', labels: [] }),
    ),
    sharedLimitsAway: keep(
      createGauge({
        name: 'bawn_shared_limits_away',
        help: 'Threads that count for themselves, for Redis of rate_limits does not answer.',
        labels: [],
      }),
    ),
    expose: () => exposed.map(metric => metric.expose()).join(''),
  }
  metrics.auditWritable.set(1)
  const buildInfo = keep(
    createGauge<[version: string, node: string]>({
      name: 'bawn_build_info',
      help: 'Always 1; the labels say what runs.',
      labels: ['version', 'node'],
    }),
  )
  buildInfo.set(1, build.version, process.version)
  exposed.push(...processReadings(startedAt))
  return Object.freeze(metrics)
}

function processReadings(startedAt: number): readonly Exposed[] {
  const reading = (name: string, help: string, type: 'gauge' | 'counter', read: () => number) =>
    createReading({ name, help, labels: [] }, type, read)
  return [
    reading('process_start_time_seconds', 'Start, in seconds since 1970.', 'gauge', () => startedAt / 1000),
    reading('process_cpu_seconds_total', 'User and system time.', 'counter', () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    }),
    reading('process_resident_memory_bytes', 'Resident memory.', 'gauge', () => process.memoryUsage.rss()),
    reading('nodejs_heap_used_bytes', 'JavaScript heap in use.', 'gauge', () => process.memoryUsage().heapUsed),
    reading('nodejs_external_memory_bytes', 'Memory of buffers.', 'gauge', () => process.memoryUsage().external),
  ]
}
