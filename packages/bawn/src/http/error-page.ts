import { readFileSync } from 'node:fs'
import type { ErrorPageOptions } from './option.ts'
import { HttpError, type Problem } from './problem.ts'

/** What a route answers in place of the gateway's own problem documents, by their status. */
export type ErrorPages = ReadonlyMap<number, ErrorPage>

interface ErrorPage {
  readonly status: number
  readonly contentType: string
  readonly body: Buffer
}

const maxPageBytes = 1_048_576

/** @param where the route, for errors. @throws {HttpError} `http.bad_route` when a file cannot be read, or is too large */
export function readErrorPages(options: Readonly<Record<string, ErrorPageOptions>>, where: string): ErrorPages {
  return new Map(
    Object.entries(options).map(([status, page]) => [
      Number(status),
      {
        status: page.status ?? Number(status),
        contentType: page.content_type,
        body: page.file === undefined ? Buffer.from(page.body ?? '') : readPage(page.file, where),
      },
    ]),
  )
}

function readPage(path: string, where: string): Buffer {
  let body: Buffer
  try {
    body = readFileSync(path)
  } catch (cause) {
    throw new HttpError('http.bad_route', `route ${where}: errors: cannot read ${path}`, { cause })
  }
  if (body.length > maxPageBytes) {
    throw new HttpError('http.bad_route', `route ${where}: errors: ${path} has more than ${maxPageBytes} bytes`)
  }
  return body
}

/** The page of the route where it has one: challenges, times to wait and the request's id stay those of the document. */
export function withPage(document: Problem, pages: ErrorPages | undefined): Problem {
  const page = pages?.get(document.status)
  if (page === undefined) return document
  const headers: string[] = []
  for (let at = 0; at < document.headers.length; at += 2) {
    const name = document.headers[at] ?? ''
    if (name !== 'Content-Type' && name !== 'Content-Length') headers.push(name, document.headers[at + 1] ?? '')
  }
  headers.push('Content-Type', page.contentType, 'Content-Length', String(page.body.length))
  headers.push('X-Content-Type-Options', 'nosniff')
  return { status: page.status, headers, body: page.body }
}
