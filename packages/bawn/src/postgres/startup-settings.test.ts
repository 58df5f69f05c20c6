import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pluggedMechanism } from '../authn/option.ts'
import { decidingMechanism } from './login.ts'
import { applicationNameOf, noPluggedQuestions, parseOptions, readStartupRequest } from './startup-settings.ts'
import { buildStartupMessage, parseStartupPacket } from './wire/startup.ts'

function read(parameters: Record<string, string>, plugged = noPluggedQuestions) {
  const message = parseStartupPacket(buildStartupMessage(Object.entries({ user: 'ada', ...parameters })))
  assert.ok(message.kind === 'startup')
  return readStartupRequest(message, plugged)
}

const refused: readonly (readonly [name: string, parameters: Record<string, string>, code: string])[] = [
  ['search_path', { search_path: 'evil' }, 'postgres.startup_setting'],
  ['role, whatever its case', { RoLe: 'postgres' }, 'postgres.startup_setting'],
  ['session_authorization in options', { options: '-c session_authorization=postgres' }, 'postgres.startup_setting'],
  ['dashes stand for underscores', { options: '--search-path=evil' }, 'postgres.startup_setting'],
  ['backslashes do not hide a name', { options: '-c sear\\ch_path=evil' }, 'postgres.startup_setting'],
  ['a setting that nobody knows', { 'my.setting': '1' }, 'postgres.startup_setting'],
  ['standard_conforming_strings off', { standard_conforming_strings: 'off' }, 'postgres.startup_setting'],
  ['a switch of the server program', { options: '-W 60' }, 'postgres.startup_setting'],
  ['an assignment without a name', { options: '-c =x' }, 'postgres.startup_setting'],
  ['replication that is neither', { replication: 'perhaps' }, 'postgres.startup_setting'],
  ['replication in options', { options: '-c replication=database' }, 'postgres.startup_setting'],
  ['options within options', { options: '-c options=-csearch_path=evil' }, 'postgres.startup_setting'],
  ['a name with its value in it', { 'timezone=x -c role': 'postgres' }, 'postgres.startup_setting'],
  ['a name with blanks around it', { ' timezone': 'UTC' }, 'postgres.startup_setting'],
  ['a name of another schema of names', { 'pg_catalog.role': 'postgres' }, 'postgres.startup_setting'],
  ['a letter that folds to an allowed one', { tımezone: 'UTC' }, 'postgres.startup_setting'],
  ['a preload', { options: '-c session_preload_libraries=x' }, 'postgres.startup_setting'],
  ['a role by its default', { options: '-c default_role=x -c role=none' }, 'postgres.startup_setting'],
  ['row_security off', { row_security: 'off' }, 'postgres.startup_setting'],
  ['triggers off', { session_replication_role: 'replica' }, 'postgres.startup_setting'],
  ['a server switch without a blank', { options: '-fs' }, 'postgres.startup_setting'],
  ['a switch between settings', { options: '-c jit=off -n -c geqo=off' }, 'postgres.startup_setting'],
  ['an option without its assignment', { options: '-c' }, 'postgres.startup_setting'],
  ['client_encoding', { client_encoding: 'LATIN1' }, 'postgres.encoding'],
  ['a login that is no question', { options: '-c bawn.login=trust' }, 'postgres.startup_setting'],
  ['a target that there is not', { options: '-c bawn.target=any' }, 'postgres.startup_setting'],
]

test('settings that change meaning or identity are refused', () => {
  for (const [name, parameters, code] of refused) assert.equal(read(parameters).refused?.code, code, name)
})

test('replication is asked for in two ways', () => {
  for (const [value, wanted] of [
    ['database', 'database'],
    ['true', 'true'],
    ['1', 'true'],
    ['off', undefined],
  ] as const) {
    const request = read({ replication: value })
    assert.deepEqual([request.replication, request.refused], [wanted, undefined])
  }
})

test('a replica is for whoever asks for one', () => {
  for (const [options, wanted] of [
    ['', 'primary'],
    ['-c bawn.target=primary', 'primary'],
    ['-c bawn.target=replica', 'replica'],
  ] as const) {
    const { target, settings, refused: none } = read({ options })
    assert.deepEqual([target, settings, none], [wanted, [], undefined])
  }
})

test('harmless settings are passed on, ours are not', () => {
  const request = read({
    database: 'shop',
    DateStyle: 'ISO',
    application_name: 'x',
    synchronous_commit: 'on',
    client_encoding: 'UTF8',
    replication: 'false',
    options: '-c bawn.login=jwt -cstatement_timeout=5s --TimeZone=Europe/Dublin -c application_name=a\\ b',
  })
  assert.equal(request.refused, undefined)
  assert.equal(request.login, 'jwt')
  assert.equal(request.database, 'shop')
  assert.equal(request.applicationName, 'a b')
  assert.deepEqual(request.settings, [
    ['DateStyle', 'ISO'],
    ['synchronous_commit', 'on'],
    ['statement_timeout', '5s'],
    ['TimeZone', 'Europe/Dublin'],
  ])
  assert.equal(read({}).database, 'ada')
})

test('options split as PostgreSQL splits them', () => {
  assert.deepEqual(parseOptions(' -c  a=b\t--c=d\\ e -cf=\\\\ '), [
    ['a', 'b'],
    ['c', 'd e'],
    ['f', '\\'],
  ])
  assert.deepEqual(parseOptions(''), [])
  assert.equal(parseOptions('-c'), undefined)
  assert.equal(parseOptions('a=b'), undefined)
})

test('the application name is printable and at most 63 bytes', () => {
  assert.equal(applicationNameOf('ada', 'psql'), 'bawn:ada psql')
  assert.equal(applicationNameOf('ádá\n', ''), 'bawn:?d??')
  assert.equal(applicationNameOf('a'.repeat(100), 'psql').length, 63)
})

test('a client may wish for the mechanism of a plug-in, where there is one for this door', () => {
  const badge = pluggedMechanism('badge')
  assert.ok(badge !== undefined)
  const wish = { options: '-c bawn.login=badge' }
  const here = read(wish, new Set([badge]))
  assert.deepEqual([here.login, here.refused], [badge, undefined])
  assert.equal(read(wish).refused?.code, 'postgres.startup_setting')
  assert.equal(decidingMechanism(['scram', badge], here.login, new Set([badge])), badge)
  assert.equal(decidingMechanism(['scram', badge], undefined, new Set([badge])), 'scram')
  assert.equal(decidingMechanism([badge, 'scram'], undefined, new Set([badge])), badge)
  // One that is for the other door alone is passed over.
  assert.equal(decidingMechanism([badge, 'scram'], undefined, noPluggedQuestions), 'scram')
  assert.equal(decidingMechanism(['scram'], here.login, new Set([badge])), 'scram')
})

test('no mechanism of ours is a plug-in’s', () => {
  for (const name of ['trust', 'scram', 'certificate', 'token', '', 'a b', '__proto__ ']) {
    assert.equal(pluggedMechanism(name), undefined, name)
  }
})
