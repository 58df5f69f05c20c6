import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from './metrics.ts'
import { createCounter, createGauge, createHistogram, maxSeries } from './series.ts'

test('counters, gauges and histograms in text form', () => {
  const counter = createCounter<[string, string]>({ name: 'c_total', help: 'Line\nand \\.', labels: ['a', 'b'] })
  counter.add('x', 'y')
  counter.add('x', 'y')
  counter.addMany(3, 'x', 'z')
  counter.addMany(-1, 'x', 'z')
  assert.equal(
    counter.expose(),
    '# HELP c_total Line\\nand \\\\.\n# TYPE c_total counter\nc_total{a="x",b="y"} 2\nc_total{a="x",b="z"} 3\n',
  )
  const gauge = createGauge<[]>({ name: 'g', help: 'G.', labels: [] })
  gauge.set(2)
  gauge.add(-3)
  assert.equal(gauge.expose(), '# HELP g G.\n# TYPE g gauge\ng -1\n')
  const histogram = createHistogram<[string]>({ name: 'h_seconds', help: 'H.', labels: ['door'] }, [0.1, 1])
  for (const value of [0.05, 0.1, 0.5, 7]) histogram.observe(value, 'http')
  assert.equal(
    histogram.expose(),
    [
      '# HELP h_seconds H.',
      '# TYPE h_seconds histogram',
      'h_seconds_bucket{door="http",le="0.1"} 2',
      'h_seconds_bucket{door="http",le="1"} 3',
      'h_seconds_bucket{door="http",le="+Inf"} 4',
      'h_seconds_sum{door="http"} 7.65',
      'h_seconds_count{door="http"} 4',
      '',
    ].join('\n'),
  )
})

test('label values are escaped', () => {
  const counter = createCounter<[string]>({ name: 'c', help: '', labels: ['a'] })
  counter.add('q"\\\nx')
  assert.ok(counter.expose().includes('c{a="q\\"\\\\\\nx"} 1\n'))
})

test('the number of series is bounded', () => {
  const counter = createCounter<[string, string]>({ name: 'c', help: '', labels: ['a', 'b'] })
  for (let i = 0; i < maxSeries + 500; i++) counter.add(`${i}`, 'x')
  counter.add('0', 'x')
  const lines = counter
    .expose()
    .split('\n')
    .filter(line => line.startsWith('c{'))
  assert.equal(lines.length, maxSeries + 1)
  assert.equal(lines[0], 'c{a="0",b="x"} 2')
  assert.equal(lines.at(-1), 'c{a="other",b="other"} 500')
})

test('names of Object.prototype are ordinary label values', () => {
  const counter = createCounter<[string]>({ name: 'c', help: '', labels: ['a'] })
  counter.add('__proto__')
  counter.add('constructor')
  assert.ok(counter.expose().endsWith('c{a="__proto__"} 1\nc{a="constructor"} 1\n'))
})

test('every line of the exposition has the form that Prometheus wants', () => {
  const metrics = createMetrics({ version: '0.1.0' }, 1_767_323_045_000)
  metrics.requests.add('http', 'permit')
  metrics.logins.add('postgres', 'scram', 'wrong-password')
  metrics.fields.addMany(20, 'email', 'masked')
  metrics.errors.add('http', 'policy.denied')
  metrics.requestSeconds.observe(0.003, 'http')
  metrics.sessions.add(1, 'postgres')
  const text = metrics.expose()
  for (const line of text.split('\n').slice(0, -1)) {
    assert.match(
      line,
      /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?([0-9.e+-]+|\+Inf))$/,
    )
  }
  for (const wanted of [
    'bawn_requests_total{door="http",decision="permit"} 1\n',
    'bawn_logins_total{door="postgres",mechanism="scram",outcome="wrong-password"} 1\n',
    'bawn_fields_total{field="email",as="masked"} 20\n',
    'bawn_sessions{door="postgres"} 1\n',
    'bawn_audit_writable 1\n',
    'process_start_time_seconds 1767323045\n',
    `bawn_build_info{version="0.1.0",node="${process.version}"} 1\n`,
  ]) {
    assert.ok(text.includes(wanted), wanted)
  }
})
