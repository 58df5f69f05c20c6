// Message letters of protocol 3 (PostgreSQL manual, "Message Formats"). The same letter means different things by direction.

const letter = (text: string): number => text.charCodeAt(0)

/** What a client sends. */
export const front = {
  bind: letter('B'),
  close: letter('C'),
  copyData: letter('d'),
  copyDone: letter('c'),
  copyFail: letter('f'),
  describe: letter('D'),
  execute: letter('E'),
  flush: letter('H'),
  functionCall: letter('F'),
  parse: letter('P'),
  password: letter('p'),
  query: letter('Q'),
  sync: letter('S'),
  terminate: letter('X'),
} as const

/** What a server sends. */
export const back = {
  authentication: letter('R'),
  backendKeyData: letter('K'),
  bindComplete: letter('2'),
  closeComplete: letter('3'),
  commandComplete: letter('C'),
  copyBoth: letter('W'),
  copyData: letter('d'),
  copyDone: letter('c'),
  copyIn: letter('G'),
  copyOut: letter('H'),
  dataRow: letter('D'),
  emptyQuery: letter('I'),
  error: letter('E'),
  functionResult: letter('V'),
  negotiateVersion: letter('v'),
  noData: letter('n'),
  notice: letter('N'),
  notification: letter('A'),
  parameterDescription: letter('t'),
  parameterStatus: letter('S'),
  parseComplete: letter('1'),
  portalSuspended: letter('s'),
  readyForQuery: letter('Z'),
  rowDescription: letter('T'),
} as const

/** Transaction status of ReadyForQuery. */
export const status = { idle: letter('I'), transaction: letter('T'), failed: letter('E') } as const

/** `pg_type.oid` of the types that the door itself speaks of. */
export const typeOid = { bytea: 17, name: 19, text: 25, json: 114, unknown: 705, bpchar: 1042, varchar: 1043 } as const

/** Start-up packet codes (no type letter; first int32 after the length). */
export const startupCode = {
  cancel: 0x04d2_162e,
  ssl: 0x04d2_162f,
  gssenc: 0x04d2_1630,
} as const

/** Authentication request codes of message `R`. */
export const authentication = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const
