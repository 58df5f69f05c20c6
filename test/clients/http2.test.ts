import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startHttp2 } from '../../packages/bawn/src/http/http2-kit.fixture.ts'
import { startUpstream } from '../../packages/bawn/src/http/kit.test.ts'

// Other people's clients of HTTP/2 at the door: curl, nghttp, h2load.

const run = promisify(execFile)

test('curl, nghttp and h2load speak HTTP/2 with the door', async t => {
  for (const [program, debian] of [
    ['curl', 'curl'],
    ['nghttp', 'nghttp2-client'],
    ['h2load', 'nghttp2-client'],
  ] as const) {
    const { status } = spawnSync(program, ['--version'])
    assert.equal(status, 0, `${program} is not installed; on Debian: apt-get install ${debian}`)
  }
  const upstream = await startUpstream(t, (request, response) => {
    if (request.method === 'POST') request.pipe(response)
    else
      response.end(
        request.url === '/large' ? Buffer.alloc(3_000_000, 'a') : `${request.headers.host} got ${request.url}`,
      )
  })
  const kit = await startHttp2(t, { upstream })
  const url = `https://127.0.0.1:${kit.port}`
  const format = ['--write-out', '\n%{http_version} %{http_code}']
  const curl = async (...args: readonly string[]): Promise<string> =>
    (await run('curl', ['--silent', '--insecure', '--max-time', '20', ...format, ...args], { maxBuffer: 8_000_000 }))
      .stdout

  assert.match(await curl('--http2', `${url}/a`), /got \/a\n2 200$/)
  assert.match(await curl('--http1.1', `${url}/a`), /got \/a\n1\.1 200$/)
  assert.match(await curl('--http2', '--head', `${url}/a`), /x-request-id: .*\n2 200$/s)
  assert.equal((await curl('--http2', `${url}/large`)).length, 3_000_000 + '\n2 200'.length)
  const body = 'b'.repeat(100_000)
  assert.equal(await curl('--http2', '--data-binary', body, `${url}/echo`), `${body}\n2 200`)
  assert.match(
    await curl('--http2', '--data-binary', 'a', '--header', 'Expect: 100-continue', `${url}/echo`),
    /^a\n2 200$/,
  )

  const { stdout } = await run('nghttp', ['--stat', '--null-out', `${url}/a`, `${url}/large`])
  assert.equal(stdout.match(/ 200 .*\/(a|large)/g)?.length, 2, stdout)

  const load = await run('h2load', ['--requests=2000', '--clients=4', '--max-concurrent-streams=25', `${url}/a`])
  assert.match(load.stdout, /2000 succeeded, 0 failed, 0 errored/)
})
