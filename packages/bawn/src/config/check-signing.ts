import { suggest } from '../nearest.ts'
import type { Draft } from './draft.ts'
import type { ConfigPath } from './problem.ts'
import type { Report } from './report.ts'

/** Keys of ours against what signs with them, and the paths at which they are published against routes. */
export function checkSigning(draft: Draft, report: Report): void {
  const exists = (path: ConfigPath, name: string | undefined): void => {
    if (name === undefined || draft.signing.has(name)) return
    report('error', path, 'value', `no entry of signing is called "${name}"`, suggest(name, [...draft.signing.keys()]))
  }
  for (const [index, route] of draft.routes.entries()) {
    exists(['routes', index, 'sign', 'signing'], route?.sign?.signing)
    exists(['routes', index, 'identity_headers', 'signed', 'signing'], route?.identity_headers?.signed?.signing)
    if (route?.sign && route.methods.includes('HEAD')) {
      report(
        'error',
        ['routes', index, 'sign'],
        'key',
        'HEAD has no answer that could be signed',
        'leave HEAD out of methods',
      )
    }
  }
  for (const [name, issuer] of draft.issuers) {
    exists(['issuers', name, 'signing'], issuer?.signing)
    const { algorithm } = draft.signing.get(issuer?.signing ?? '') ?? {}
    if (!algorithm?.startsWith('HS')) continue
    const message = `${algorithm} has no public key: whoever verifies needs the secret`
    report('error', ['issuers', name, 'signing'], 'value', message, 'name the secret: secret')
  }
  const taken = new Map<string, string>()
  for (const [name, signing] of draft.signing) {
    if (signing?.jwks === undefined) continue
    const path = ['signing', name, 'jwks']
    const other = taken.get(signing.jwks)
    if (other !== undefined) report('error', path, 'value', `signing.${other} is published there already`)
    taken.set(signing.jwks, other ?? name)
    const { options } = draft.tokens
    if (
      options !== undefined &&
      [options.endpoint, options.resource, `${options.endpoint}/cookie`].includes(signing.jwks)
    ) {
      report('error', path, 'value', `${signing.jwks} is a path of tokens`)
    }
    const index = draft.routes.findIndex(route => route?.path === signing.jwks)
    if (index < 0) continue
    const message = `${signing.jwks} is answered by the gateway itself: nobody would get to this route`
    report('error', ['routes', index, 'path'], 'value', message, `choose another signing.${name}.jwks`)
  }
}
