import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'

// Debian's Chromium, driven by playwright-core. Its own types need those of a browser for the whole program, which would let code of the
// gateway name `document`: so what the tests use of it stands here. What runs in a page is text, for the same reason.

export interface Page {
  goto(url: string): Promise<unknown>
  reload(): Promise<unknown>
  waitForURL(glob: string): Promise<void>
  waitForResponse(url: string): Promise<{ status(): number }>
  fill(selector: string, text: string): Promise<void>
  click(selector: string): Promise<void>
  innerText(selector: string): Promise<string>
  /** @param script an expression, or what makes a promise of one */
  evaluate(script: string): Promise<unknown>
  on(event: 'pageerror', listener: (error: Error) => void): void
  on(event: 'console', listener: (message: { text(): string }) => void): void
}

export interface BrowserCookie {
  readonly name: string
  readonly domain: string
  readonly path: string
  readonly httpOnly: boolean
  readonly secure: boolean
  readonly sameSite: string
}

/** Chrome DevTools Protocol, domain Fetch. */
export interface DevTools {
  send(method: string, parameters: object): Promise<unknown>
  on(event: 'Fetch.requestPaused', listener: (event: { readonly requestId: string }) => void): void
  on(
    event: 'Fetch.authRequired',
    listener: (event: {
      readonly requestId: string
      readonly request: { readonly url: string }
      readonly authChallenge: { readonly scheme: string }
    }) => void,
  ): void
}

/** A browser that has never been anywhere. */
export interface Visit {
  newPage(): Promise<Page>
  newCDPSession(page: Page): Promise<DevTools>
  cookies(url: string): Promise<readonly BrowserCookie[]>
  setDefaultTimeout(ms: number): void
  close(): Promise<void>
}

export interface Chromium {
  newContext(options: { readonly ignoreHTTPSErrors: boolean }): Promise<Visit>
  close(): Promise<void>
}

interface Playwright {
  readonly chromium: {
    launch(options: { readonly executablePath: string; readonly args: readonly string[] }): Promise<Chromium>
  }
}

/** @param hosts where each `host:port` really is */
export function launchChromium(hosts: Readonly<Record<string, string>>): Promise<Chromium> {
  const { stdout, status } = spawnSync('which', ['chromium'], { encoding: 'utf8' })
  assert.equal(status, 0, 'Chromium is not installed; on Debian: apt-get install chromium')
  const { chromium }: Playwright = createRequire(import.meta.url)('playwright-core')
  const rules = Object.entries(hosts).map(([host, address]) => `MAP ${host} ${address}`)
  return chromium.launch({
    executablePath: stdout.trim(),
    // Its sandbox does not run as root.
    args: ['--no-sandbox', '--disable-dev-shm-usage', `--host-resolver-rules=${rules.join(',')}`],
  })
}
