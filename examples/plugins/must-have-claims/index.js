// @ts-check

// A check of tokens, as an npm package: a token must have certain claims, whatever is in them.

/** @typedef {{ readonly claims: readonly string[] }} MustHaveOptions */

/** @type {import('bawn').OptionsSchema<MustHaveOptions>} */
const options = {
  '~standard': {
    version: 1,
    vendor: 'bawn-must-have-claims',
    validate(value) {
      const { claims, ...others } = /** @type {Record<string, unknown>} */ (value)
      const issues = Object.keys(others).map(name => ({ message: 'there is only claims', path: [name] }))
      const isList = Array.isArray(claims) && claims.length > 0 && claims.every(name => typeof name === 'string')
      if (!isList) issues.push({ message: 'must be a list of names of claims', path: ['claims'] })
      return issues.length > 0 ? { issues } : { value: { claims: /** @type {string[]} */ (claims) } }
    },
  },
}

/** @type {import('bawn').TokenCheckKind<MustHaveOptions>} */
const mustHaveClaims = {
  kind: 'must-have-claims',
  options,
  create: ({ claims: wanted }) => ({
    check(claims) {
      const missing = wanted.filter(name => !Object.hasOwn(claims, name))
      // Names from the configuration may be said; nothing of the token may.
      return missing.length === 0 ? 'accept' : { reject: `it has no ${missing.join(', ')}` }
    },
  }),
}

/** @type {import('bawn').Plugin} */
const plugin = { name: 'must-have-claims', api: 1, tokenChecks: [mustHaveClaims] }
export default plugin
