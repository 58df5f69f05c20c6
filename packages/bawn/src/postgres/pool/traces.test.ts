import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SettingChange } from './profile.ts'
import { tracesOf } from './traces.ts'

const rows: readonly (readonly [text: string, expected: string])[] = [
  ['select 1', 'nothing'],
  ['select * from people where id = $1', 'nothing'],
  ['SELECT count(*), max(id) FROM people WHERE id IN (1, 2) GROUP BY (name)', 'nothing'],
  ['insert into people (id, name) values (1, $1) on conflict (id) do update set name = excluded.name', 'nothing'],
  ['insert into public.people (id) values (1) returning id', 'nothing'],
  ['insert into "People" (id) values (1)', 'nothing'],
  ['with x (a) as (select 1) select a from x', 'nothing'],
  ['begin', 'nothing'],
  ['begin isolation level serializable; update a set b = 1; commit', 'nothing'],
  ['(select 1) union (select 2)', 'nothing'],
  ['select temp from weather', 'nothing'],
  [`select 'set x = 1; listen y'`, 'nothing'],
  ['select mine(1)', 'state'],
  ['select public.count(1)', 'state'],
  ['select "f"(1)', 'state'],
  ['do $$ begin perform 1; end $$', 'state'],
  ['call p()', 'state'],
  ['create table t (id int)', 'state'],
  ['reset all', 'state'],
  ['set local timezone = 0', 'state'],
  ['select pg_advisory_xact_lock(1)', 'nothing'],
  [`select set_config('app.x', 'y', true)`, 'state'],
  [`select set_config('app.x', 'y', false)`, 'kept'],
  [`select set_config('app.x', 'y', true), set_config('app.z', 'y', false)`, 'kept'],
  [`set search_path = a, b`, 'kept'],
  ['set role x', 'kept'],
  ['set session characteristics as transaction read only', 'kept'],
  ['select 1; set x.y = 1', 'kept'],
  ['select pg_advisory_lock(1); set local x.y = 1', 'kept'],
  ['set "timezone" = 1', 'kept'],
  [`listen a; select set_config('app.x', 'y', true)`, 'kept'],
  ['/* x */ listen a', 'kept'],
  ['prepare a as select 1', 'kept'],
  [`prepare transaction 'a'`, 'state'],
  ['declare a cursor with hold for select 1', 'kept'],
  ['declare a cursor for select 1', 'state'],
  ['create temp table a (id int)', 'kept'],
  ['create local temporary table a as select 1', 'kept'],
  ['select 1 into temp a', 'kept'],
  ['create table pg_temp.a (id int)', 'kept'],
  ['select pg_advisory_lock(1)', 'kept'],
  ['select pg_try_advisory_lock_shared(1)', 'kept'],
  [`select 'unterminated`, 'kept'],
  [`select dblink_connect('x')`, 'unfit'],
  ['select setseed(0.5)', 'unfit'],
  [`load 'x'`, 'unfit'],
  ['select "setseed"(0.5)', 'unfit'],
  [`select pg_catalog."dblink_connect"('x')`, 'unfit'],
  ['select U&"set\\0073eed"(0.5)', 'unfit'],
  ['set seed = 0.5', 'unfit'],
  ['set session seed to 0.5', 'unfit'],
  [`do $$ begin perform dblink_connect('x'); end $$`, 'unfit'],
  [`do $$ begin set seed = 0.5; end $$`, 'unfit'],
  [`select pg_copy_logical_replication_slot('a', 'b', true)`, 'unfit'],
  [`select 'dblink' as word`, 'nothing'],
]

test('what a text leaves behind', () => {
  for (const [text, expected] of rows) {
    const { leftover, pins } = tracesOf(Buffer.from(text))
    assert.equal(leftover === 'unfit' ? 'unfit' : pins ? 'kept' : leftover, expected, text)
  }
})

test('settings that go along', () => {
  const settings: readonly (readonly [text: string, setting: SettingChange | undefined])[] = [
    [`SET TimeZone = 'UTC'`, ['timezone', 'UTC']],
    [`set time zone 'Asia/Tokyo';`, ['timezone', 'Asia/Tokyo']],
    ['SET extra_float_digits = 3', ['extra_float_digits', '3']],
    [`SET SESSION application_name TO 'it''s'`, ['application_name', `it's`]],
    ['set statement_timeout to 0', ['statement_timeout', '0']],
    [`SELECT set_config('TimeZone', 'UTC', false)`, ['timezone', 'UTC']],
    [`select set_config('TimeZone', 'UTC', true)`, undefined],
    ['set timezone = local', undefined],
    ['set timezone to default', ['timezone', undefined]],
    ['RESET timezone;', ['timezone', undefined]],
    ['reset role', undefined],
    [`set role = 'x'`, undefined],
    [`set timezone = 'a'; select 1`, undefined],
  ]
  for (const [text, expected] of settings) assert.deepEqual(tracesOf(Buffer.from(text)).setting, expected, text)
  for (const text of [`set client_encoding to 'UTF8'`, `SET NAMES 'UTF8'`, 'set standard_conforming_strings = on']) {
    assert.equal(tracesOf(Buffer.from(text)).leftover, 'nothing', text)
  }
})

test('settings that are led back', () => {
  const rows: readonly (readonly [text: string, resets: unknown, pins: boolean, setting: unknown])[] = [
    ['reset all', 'all', false, 'none'],
    ['discard all', 'all', false, undefined],
    ['reset search_path', ['search_path'], false, undefined],
    ['reset "Search_Path"; select 1', ['search_path'], false, undefined],
    ['reset timezone; select 1', ['timezone'], true, undefined],
    ['select pg_advisory_unlock_all(); close all; unlisten *; reset all;', 'all', false, 'none'],
    ['begin; reset all; rollback', 'all', true, undefined],
    ['select 1', undefined, false, undefined],
  ]
  for (const [text, resets, pins, setting] of rows) {
    const traces = tracesOf(Buffer.from(text))
    assert.deepEqual([traces.resets, traces.pins, traces.setting], [resets, pins, setting], text)
  }
})

test('names that are taken back', () => {
  assert.equal(tracesOf(Buffer.from('DEALLOCATE ALL')).deallocates, 'all')
  assert.deepEqual(tracesOf(Buffer.from('deallocate prepare "A b"')).deallocates, { name: 'A b' })
  assert.deepEqual(tracesOf(Buffer.from('DEALLOCATE Abc;')).deallocates, { name: 'abc' })
  for (const [text, before] of [
    ['deallocate all', 0],
    ['select 1;; deallocate prepare all; select 2', 1],
    [';deallocate all;', 0],
  ] as const) {
    const traces = tracesOf(Buffer.from(text))
    assert.deepEqual([traces.deallocates, traces.before], ['all', before], text)
  }
  assert.equal(tracesOf(Buffer.from('deallocate x; select 1 as "all"')).deallocates, undefined)
  for (const [text, ...frees] of [
    ['deallocate x; select 1', [0, 'x']],
    ['select 1; deallocate prepare X;; deallocate "Y""z"', [1, 'x'], [2, 'Y"z']],
    ['select 1; deallocate all; deallocate u&"x"'],
    ["select 'deallocate x'; prepare deallocate as select 1"],
  ] as const) {
    const found = tracesOf(Buffer.from(text)).frees.map(({ at, name }) => [at, name])
    assert.deepEqual(found, frees, text)
  }
  for (const text of ['/* x */ deallocate x', '-- y\n DEALLOCATE PREPARE X ;']) {
    const { deallocates, frees, clears } = tracesOf(Buffer.from(text))
    assert.deepEqual([deallocates, frees, clears], [{ name: 'x' }, [], false], text)
  }
  assert.equal(tracesOf(Buffer.from('discard all')).discards, true)
  assert.equal(tracesOf(Buffer.from('select 1; deallocate all')).clears, true)
  assert.equal(tracesOf(Buffer.from('discard plans')).clears, true)
  assert.equal(tracesOf(Buffer.from(`select currval('x')`)).recalls, true)
})
