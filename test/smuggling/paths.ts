import { bad, badPath, denied, notFound, type Payload } from './payload.ts'

// Spellings of a path. `/admin` and what is below it is guarded; `/*` is for anybody.

/** `passes`: the target as the server behind sees it. */
const rows: readonly (readonly [target: string, outcome: string | { readonly passes: string }])[] = [
  ...[
    ['/admin', denied],
    ['/admin/', denied],
    ['/admin/x', denied],
    ['/admin?x', denied],
    ['/%61dmin', denied],
    ['/%61%64%6d%69%6e', denied],
    ['/admin/%2e%2e%2e', denied],
    ['http://a/admin', denied],
    ['https://A/%61dmin', denied],
  ].map(([target = '', outcome = '']) => [target, outcome] as const),
  ...['/Admin', '/ADMIN/x', '/%41dmin', '/admin.', '/admin...', '/admin%20', '/admin.%20.', '/adm%C4%B1n'].map(
    target => [target, notFound] as const,
  ),
  ...[
    ...['//admin', '///admin', '/x//admin', '/admin//', '//', '/./admin', '/x/../admin', '/x/./../admin', '/..'],
    ...['/../admin', '/x/..', '/.', '/x/.', '/%2e/admin', '/%2E%2E/admin', '/x/.%2e/admin', '/x/%2e./admin'],
    ...[
      '/x/%2e%2e/admin',
      '/x/%252e%252e/admin',
      '/%2561dmin',
      '/%25%36%31dmin',
      '/%256%31dmin',
      '/x/%25%32%65%25%32%65/admin',
    ],
    ...['/x%2fadmin', '/x%2Fadmin', '/%2fadmin', '/%252fadmin', '/x/..%2fadmin', '/x%2f..%2fadmin', '/admin%2f'],
    ...['/\\admin', '/x\\..\\admin', '/x/..\\admin', '/%5cadmin', '/x%5c..%5cadmin', '/%255cadmin', '/admin%5c'],
    ...['/admin;x', '/admin;x=y/z', '/;/admin', '/x/..;/admin', '/x/..;a=b/admin', '/admin%3bx', '/%3b/admin'],
    ...['/x;/../admin', '/.;/admin', '/admin;', '/admin;jsessionid=1', '/admin;.css', '/x/%2e%2e;/admin'],
    ...['/admin%00', '/admin%00.css', '/%00/admin', '/admin%09', '/admin%0a', '/admin%0d%0a', '/admin%1f', '/admin%7f'],
    ...['/%0d%0aHost:%20b', '/x%0d%0a%0d%0aGET%20/admin%20HTTP/1.1', '/admin%c2%85', '/admin%c2%80'],
    ...['/%c0%afadmin', '/x/%c0%ae%c0%ae/admin', '/%c1%a1dmin', '/%e0%80%afadmin', '/%f0%80%80%afadmin', '/%fe'],
    ...['/%ff', '/%c3', '/%ed%a0%80', '/%u0061dmin', '/%', '/%6', '/%zz', '/%6gdmin', '/admin%', '/%%61dmin'],
    ...['/admin#', '/x#/../admin', '/x?a#b', `/${'x/'.repeat(300)}x`],
    ...['http://a//admin', 'http://a/x/../admin', 'http://a/\\admin', 'http://a/admin;x'],
  ].map(target => [target, badPath] as const),
  ['/x?\x7f', bad],
  ['http://a%2fadmin', bad],
  ...[
    ['/', '/'],
    ['/x', '/x'],
    ['/x/', '/x/'],
    ['/%78', '/x'],
    ['/x%7ey', '/x~y'],
    ['/x?/../admin', '/x?/../admin'],
    ['/x?a=%2fadmin;b', '/x?a=%2fadmin;b'],
    ['/x?http://a/admin', '/x?http://a/admin'],
    ['/x%3f/admin', '/x%3F/admin'],
    ['/x%23/admin', '/x%23/admin'],
    ['/...', '/...'],
    ['/.../admin', '/.../admin'],
    ['/.x', '/.x'],
    ['/x.', '/x.'],
    ['/x%20y', '/x%20y'],
    ['/%c3%a9', '/%C3%A9'],
    ['/%ef%bc%8fadmin', '/%EF%BC%8Fadmin'],
    ["/x:@!$&'()*+,=-._~", "/x:@!$&'()*+,=-._~"],
    ['/%25', '/%25'],
    ['/x/admin', '/x/admin'],
    ['/administrator', '/administrator'],
  ].map(([target = '', passes = '']) => [target, { passes }] as const),
]

export const paths: readonly Payload[] = rows.map(([target, outcome]) => ({
  name: `path ${JSON.stringify(target.length > 60 ? `${target.slice(0, 60)}…` : target)}`,
  text: `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`,
  outcome: typeof outcome === 'string' ? outcome : [`GET ${outcome.passes} `],
}))
