import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { errors } from '../error.ts'
import { allCommands } from './main.ts'

const guide = readFileSync(new URL('../../../../docs/guide/cli.md', import.meta.url), 'utf8')

test('docs/guide/cli.md has every command in a table, and no other', async () => {
  const commands = (await allCommands()).map(command => `bawn ${command.name}`)
  const rows = [...guide.matchAll(/^\| `(bawn [^`]+)` \|/gm)].map(([, name]) => name)
  assert.deepEqual([...rows].sort(), [...commands].sort())
})

test('hints name only commands that exist', async () => {
  const names = (await allCommands()).map(command => command.name)
  const isKnown = (words: string): boolean =>
    names.some(name => name === words || name.startsWith(`${words} `)) || ['help', 'version'].includes(words)
  const wrong = Object.entries(errors).flatMap(([code, { hint }]) => {
    // At its end a hint says what to type, word for word; inside it the sentence may go on after the first word.
    const typed = /bawn ([a-z]+(?: [a-z-]+)?)(?: --?[a-z].*)?$/.exec(hint)?.[1]
    const nouns = [...hint.matchAll(/bawn ([a-z]+)/g)].map(([, noun = '']) => noun)
    return [...nouns, ...(typed === undefined ? [] : [typed])]
      .filter(words => !isKnown(words))
      .map(words => `${code}: ${words}`)
  })
  assert.deepEqual(wrong, [])
})

test('the explanation in the guide is one that is printed', () => {
  const shown = guide.split('```console\n')[1]?.split('```')[0]?.trimEnd() ?? ''
  const transcript = readFileSync(new URL('testdata/explain.txt', import.meta.url), 'utf8')
  assert.ok(transcript.includes(shown))
})
