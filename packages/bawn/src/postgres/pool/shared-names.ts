import { createHash } from 'node:crypto'
import type { Conversation } from '../conversation.ts'
import type { EditedText } from '../edits.ts'
import { objectKey, type Statement } from '../objects.ts'
import { refuse } from '../refuse.ts'
import type { Turn } from '../turn.ts'
import { MessageBuilder } from '../wire/builder.ts'
import { back, front, status } from '../wire/message.ts'
import { buildParse } from '../wire/parse.ts'
import { isServerName, nobodysName, type ServerStatements } from './server-statements.ts'

// Prepared statements where connections go from session to session: names of clients never reach the server. What is prepared has one name
// on a connection, whoever prepares it, and is prepared again where it is not there.

/** What the server was given for a statement of a client, to be given again on another connection. */
export interface ServerText {
  readonly text: Buffer
  readonly types: readonly number[]
}

const parseComplete = Buffer.from([back.parseComplete, 0, 0, 0, 4])

/** DEALLOCATE or DISCARD ALL is on its way: which names there are is known when it has been answered. */
export function areNamesInDoubt({ talk }: Turn): boolean {
  const { pending, takesBackAt, copyIn, prepared } = talk
  if (prepared === undefined || pending.length === 0 || copyIn === 'skipping-sync') return false
  return pending.readyCame < takesBackAt
}

/** Whether the session will have given a name already is known when everything before has been answered. */
export function isTakenInDoubt({ talk }: Turn, name: string): boolean {
  if (talk.prepared === undefined || name === '' || talk.pending.outstandingReady === 0) return false
  if (talk.copyIn === 'skipping-sync') return false
  // One that is taken back is still there if the server has skipped the Close.
  return talk.statements.get(name) !== undefined || talk.pending.closesBefore(talk.batch, objectKey(name))
}

/** Parse of a client. @param sent what the server is to read */
export function shareParse(
  { talk }: Turn,
  shared: ServerStatements,
  name: string,
  statement: Statement,
  sent: ServerText,
  edited: EditedText | undefined,
): 'next' {
  if (name !== '' && talk.statements.get(name) !== undefined) {
    // What is wrong with the text comes first.
    if (!isThere(talk, shared, sent)) prepare(talk, shared, sent, { kind: 'parse', swallow: true })
    const message = `prepared statement "${shown(name)}" already exists`
    return refuse(talk, 'extended', 'postgres.prepared_exists', message, { bare: true })
  }
  statement.sent = sent
  const forget = talk.statements.set(name, statement)
  if (name === '') {
    const undo = (): void => {
      forget()
      shared.unnamed = undefined
    }
    shared.unnamed = statement
    talk.send({ kind: 'parse', statement, edited, undo })
    talk.toServer.append(buildParse({ name, ...sent }))
    return 'next'
  }
  if (isThere(talk, shared, sent)) {
    // Something has to be answered in its place among the answers.
    talk.send({ kind: 'close', statement, answer: parseComplete, undo: forget })
    talk.toServer.append(closeStatement(nobodysName))
    return 'next'
  }
  prepare(talk, shared, sent, { kind: 'parse', statement, edited }, forget)
  return 'next'
}

/** Whether a Parse would succeed and change nothing. In a failed transaction it fails whatever it says, and a Close does not. */
function isThere({ transaction, pending }: Conversation, shared: ServerStatements, sent: ServerText): boolean {
  return shared.get(keyOf(sent)) !== undefined && transaction !== status.failed && pending.outstandingReady === 0
}

/** Sends Parse under a name of ours. @returns it */
function prepare(
  talk: Conversation,
  shared: ServerStatements,
  sent: ServerText,
  entry: Parameters<Conversation['send']>[0],
  forget = (): void => {},
): string {
  const key = keyOf(sent)
  const before = shared.get(key)
  if (before !== undefined) shared.forget(key)
  const { name, evicted = before, undo, keep } = shared.add(key)
  // Behind an error it stays, and would do so for ever if nobody knew of it.
  const giveUp = before === undefined ? keep : () => shared.put(key, before)
  if (evicted !== undefined) {
    talk.send({ kind: 'close', swallow: true, undo: giveUp })
    talk.toServer.append(closeStatement(evicted))
  }
  const undoBoth = (): void => {
    forget()
    undo()
  }
  talk.send({ ...entry, undo: undoBoth })
  talk.toServer.append(buildParse({ name, ...sent }))
  return name
}

/** The name that a statement of the client has on the connection, once what this sends has been carried out. */
function nameOf(talk: Conversation, shared: ServerStatements, name: string, statement: Statement): string {
  const { sent } = statement
  if (sent === undefined) return name
  if (name !== '') return shared.get(keyOf(sent)) ?? prepare(talk, shared, sent, { kind: 'parse', swallow: true })
  if (shared.unnamed === statement) return name
  shared.unnamed = statement
  const undo = (): void => {
    shared.unnamed = undefined
  }
  talk.send({ kind: 'parse', swallow: true, undo })
  talk.toServer.append(buildParse({ name, ...sent }))
  return name
}

/**
 * What a message that names a statement of the client has to say to the server instead. `undefined`: there is no such statement, and the
 * client is told.
 */
export function shareName(
  { talk }: Turn,
  shared: ServerStatements,
  name: string,
  known: Statement | undefined,
): string | undefined {
  if (known !== undefined) return nameOf(talk, shared, name, known)
  // SQL may have prepared it, on the connection that the session then keeps; what others have prepared is out of reach.
  if (name !== '' && !isServerName(name)) return name
  if (name === '') {
    // Somebody else's may be there.
    shared.unnamed = undefined
    talk.send({ kind: 'close', swallow: true })
    talk.toServer.append(closeStatement(name))
    return name
  }
  const message = `prepared statement "${shown(name)}" does not exist`
  refuse(talk, 'extended', 'postgres.prepared_unknown', message, { bare: true })
  return undefined
}

/** Bind with the server's name of its statement. The portal's is as the client wrote it: the server repeats it whole. */
export function shareBind({ reader: { buffer, start, end } }: Turn, statement: string): Buffer {
  const portalEnd = buffer.indexOf(0, start + 5) + 1
  const statementEnd = buffer.indexOf(0, portalEnd) + 1
  const message = new MessageBuilder(end - start + 64).begin(front.bind).bytes(buffer.subarray(start + 5, portalEnd))
  return message.objectName(statement).bytes(buffer.subarray(statementEnd, end)).end().take()
}

/** Close of a statement: others may go on with it. */
export function shareClose({ talk }: Turn, shared: ServerStatements, name: string, known: Statement | undefined): void {
  const own = known === undefined ? !isServerName(name) : known.sent === undefined
  if (name === '') shared.unnamed = undefined
  talk.toServer.append(closeStatement(own || name === '' ? name : nobodysName))
}

export function describeStatement(name: string): Buffer {
  return new MessageBuilder().begin(front.describe).uint8(0x53).objectName(name).end().take()
}

function closeStatement(name: string): Buffer {
  return new MessageBuilder().begin(front.close).uint8(0x53).objectName(name).end().take()
}

const keys = new WeakMap<ServerText, string>()

/** By what is prepared: the text, and the types that are fixed. */
export function keyOf(sent: ServerText): string {
  let key = keys.get(sent)
  if (key === undefined) {
    key = createHash('sha256')
      .update(`${sent.types.join(',')};`)
      .update(sent.text)
      .digest('base64')
    keys.set(sent, key)
  }
  return key
}

const shown = (name: string): string => Buffer.from(name, 'latin1').toString()
