import type { A_Const } from 'libpg-query'
import type { Field } from '../../fields/field.ts'

/** `'…'` without its escapes, as the field's plaintext; a string says what keeps it from being one. */
export type Plaintext = Uint8Array | string

/** bytea input (manual section 8.4): `\x` and pairs of hex digits, or bytes with `\\` and `\ooo`. */
function byteaInput(text: string): Plaintext {
  if (text.startsWith('\\x')) {
    // White space is allowed between pairs.
    const digits = text.slice(2).replace(/[ \t\r\n]+/g, '')
    return /^(?:[0-9a-fA-F]{2})*$/.test(digits)
      ? Buffer.from(digits, 'hex')
      : 'is not valid bytea: \\x and pairs of hex digits'
  }
  const bytes = Buffer.from(text)
  const out: number[] = []
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    if (byte !== 92) out.push(byte)
    else if (bytes[at + 1] === 92) {
      out.push(92)
      at++
    } else {
      const octal = /^[0-3][0-7]{2}$/.exec(bytes.toString('latin1', at + 1, at + 4))
      if (octal === null) return 'is not valid bytea: a backslash needs another one or three octal digits after it'
      out.push(Number.parseInt(octal[0], 8))
      at += 3
    }
  }
  return Uint8Array.from(out)
}

/**
 * @param asBytea the value is written as bytea input: the field's type is `bytes`, or it has the cast `::bytea`
 */
export function plaintextOf(constant: A_Const, field: Field, asBytea: boolean): Plaintext {
  if (constant.sval !== undefined) {
    const text = constant.sval.sval ?? ''
    if (!asBytea) return Buffer.from(text)
    const bytes = byteaInput(text)
    if (
      typeof bytes !== 'string' &&
      field.type === 'text' &&
      !Buffer.from(bytes).equals(Buffer.from(Buffer.from(bytes).toString()))
    ) {
      return 'is bytes that are not UTF-8, and the field holds text'
    }
    return bytes
  }
  if (asBytea) return 'is not a string in quotes'
  if (constant.ival !== undefined) return Buffer.from(String(constant.ival.ival ?? 0))
  if (constant.fval !== undefined) {
    const digits = constant.fval.fval ?? ''
    return /^-?\d+(?:\.\d+)?$/.test(digits) ? Buffer.from(digits) : 'is a number that could be written in several ways'
  }
  if (constant.boolval !== undefined) return 'is a boolean'
  return 'is a bit string'
}
