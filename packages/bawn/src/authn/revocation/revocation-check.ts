import type { X509Certificate } from 'node:crypto'
import type { RevocationOptions } from '../../option.ts'
import { createTokenCache } from '../../tokens/token-cache.ts'
import { type Authorities, chainOf } from './chain.ts'
import { isAbout } from './crl.ts'
import { parseHttpUrl } from './download.ts'
import { type Answer, askInOrder, combineFindings, type Finding, judgeAnswers } from './finding.ts'
import { createLists, type Lists } from './lists.ts'
import { createResponders, type Responders } from './responders.ts'
import { type Revocable, revocableOf } from './revocable.ts'
import { reasonOf, undecided } from './undecided.ts'

/** What is known of a certificate whose chain TLS has verified. */
export interface Standing {
  /** `unknown`: a responder does not know the certificate, and that is not good enough here. */
  readonly kind: 'good' | 'revoked' | 'unknown'
  /** Who said so, for the log. */
  readonly by: string
}

/** Finds out whether certificates were revoked, by responders and lists. One for each listener and database, as each has its own options. */
export interface RevocationCheck {
  /**
   * @param certificate the peer's own, whose chain TLS has verified
   * @returns at once where it is known
   * @throws {AuthnError} `authn.revocation_undecided`: nobody who is to be believed says anything, and it must not be guessed
   */
  check(certificate: X509Certificate): Standing | Promise<Standing>
  /** Is it known to be revoked, of a certificate that was good once? Finds out anew, beside, what has run out. */
  isKnownRevoked(certificate: X509Certificate): boolean
  /** Reads what the configuration names, so that what is wrong with it is in the log before anybody comes. Never rejects. */
  prime(): Promise<void>
  close(): void
}

/** What a check needs of the world outside. */
export interface CheckSurroundings {
  readonly fetch: typeof fetch
  /** ms since 1970. */
  readonly clock: () => number
  readonly log: (level: 'info' | 'warn', message: string, cause?: unknown) => void
}

const maxStandings = 10_000
/** Authorities whose lists are read in advance. */
const maxPrimed = 16
/** Addresses of one kind that are taken from one certificate. */
const maxUrls = 4

/** @param authorities that TLS believes: a chain ends at one of their roots */
export function createRevocationCheck(
  options: RevocationOptions,
  authorities: Authorities,
  { fetch, clock, log }: CheckSurroundings,
): RevocationCheck {
  const closing = new AbortController()
  const hosts = new Set(options.hosts.map(host => host.toLowerCase()))
  const isPermitted = (url: URL): boolean => hosts.has(url.host)
  const surroundings = { fetch, clock, log, closing: closing.signal, isPermitted }
  const responders = options.ocsp && createResponders(options.ocsp, surroundings)
  const lists = options.crl && createLists(options.crl, surroundings)
  const known = createTokenCache<Standing & { readonly until: number; readonly generation: number }>({
    maxEntries: maxStandings,
    maxWeight: maxStandings,
  })
  const pending = new Map<string, Promise<Standing>>()
  /** By certificate: OpenSSL hashes it anew each time, and open sessions ask twice a second. */
  const fingerprints = new WeakMap<X509Certificate, string>()
  const fingerprintOf = (certificate: X509Certificate): string => {
    const before = fingerprints.get(certificate)
    if (before !== undefined) return before
    const fingerprint = certificate.fingerprint256
    fingerprints.set(certificate, fingerprint)
    return fingerprint
  }
  const generation = (): number => lists?.generation ?? 0

  const current = (fingerprint: string): Standing | undefined => {
    const standing = known.get(fingerprint)
    return standing && clock() < standing.until && standing.generation === generation() ? standing : undefined
  }

  const findOut = async (certificate: X509Certificate, fingerprint: string): Promise<Standing> => {
    const at = generation()
    const { kind, by, until } = await judgeChain(certificate)
    if (kind !== 'good' && known.get(fingerprint)?.kind !== kind) {
      const { serial } = revocableOf(certificate)
      log('info', `the certificate with serial number ${serial} is ${kind}, says ${by}`)
    }
    known.set(fingerprint, { kind, by, until, generation: at }, 1)
    return { kind, by }
  }

  /** Whatever is wrong with any certificate of the chain is wrong with the peer. */
  const judgeChain = async (leaf: X509Certificate): Promise<Answer> => {
    const chain = chainOf(leaf, authorities, clock())
    if (chain === undefined) {
      throw undecided(
        'the chain of the certificate cannot be followed: client_ca needs the intermediate authorities too',
      )
    }
    const findings = await Promise.all(
      chain.slice(0, -1).map(async (certificate, depth) => {
        const issuer = chain[depth + 1]
        const found = issuer && (await judge(revocableOf(certificate), revocableOf(issuer), depth))
        return found ?? []
      }),
    ).then(all => all.flat())
    return combineFindings(findings)
  }

  /** What each way says; empty where none looks at this certificate. */
  const judge = async (subject: Revocable, issuer: Revocable, depth: number): Promise<readonly Finding[]> => {
    const looks = ({ check }: { readonly check: 'leaf' | 'whole_chain' }): boolean =>
      depth === 0 || check === 'whole_chain'
    const byResponders =
      options.ocsp && responders && looks(options.ocsp)
        ? askResponders(options.ocsp, responders, subject, issuer)
        : undefined
    const byLists =
      options.crl && lists && looks(options.crl) ? readLists(options.crl, lists, subject, issuer) : undefined
    if (byResponders === undefined && byLists === undefined) return []
    const found = (await Promise.all([byResponders, byLists])).filter(finding => finding !== undefined)
    // One way may have nobody to ask where the other has. Where neither has, nobody vouches for the certificate.
    return found.every(({ kind }) => kind === 'nobody')
      ? [{ kind: 'silent', why: `nobody can be asked about the certificate with serial number ${subject.serial}` }]
      : found
  }

  const permitted = (urls: readonly string[]): readonly string[] =>
    urls
      .filter(text => {
        const url = parseHttpUrl(text)
        return url !== undefined && isPermitted(url)
      })
      .slice(0, maxUrls)

  const askResponders = async (
    ocsp: NonNullable<RevocationOptions['ocsp']>,
    { ask }: Responders,
    subject: Revocable,
    issuer: Revocable,
  ): Promise<Finding> => {
    const askEach = async (urls: readonly string[]): Promise<Finding> => {
      const findings = await Promise.all(
        urls.map(async (url): Promise<Finding> => {
          const by = `responder ${url}`
          try {
            const { value, until } = await ask(url, subject, issuer)
            const doubt = value.unvouched && (await doubtAbout(value.unvouched, issuer))
            return doubt === undefined ? { kind: value.status, by, until } : { kind: 'silent', why: `${by}: ${doubt}` }
          } catch (cause) {
            return { kind: 'silent', why: reasonOf(cause) }
          }
        }),
      )
      return judgeAnswers(findings, ocsp.required)
    }
    return askInOrder(ocsp.from_certificate, permitted(subject.responderUrls), ocsp.url ? [ocsp.url] : [], askEach)
  }

  /** The issuer let somebody else sign, and did not say to believe that until its end: lists may know better, where there are any. */
  const doubtAbout = async (signer: Revocable, issuer: Revocable): Promise<string | undefined> => {
    if (options.crl === undefined || lists === undefined) return undefined
    const found = await readLists(options.crl, lists, signer, issuer)
    if (found.kind === 'revoked') return 'its certificate was revoked'
    return found.kind === 'silent' ? found.why : undefined
  }

  const readLists = async (
    crl: NonNullable<RevocationOptions['crl']>,
    { get, configured }: Lists,
    subject: Revocable,
    issuer: Revocable,
  ): Promise<Finding> => {
    const readEach = async (sources: readonly string[]): Promise<Finding> => {
      const failures: string[] = []
      const answers: Answer[] = []
      await Promise.all(
        sources.map(async source => {
          try {
            const { value: list, until } = await get(source, issuer)
            if (list === undefined || !isAbout(list, subject)) return
            const kind = list.revoked.has(subject.serial) ? 'revoked' : 'good'
            answers.push({ kind, by: `revocation list ${source}`, until })
          } catch (cause) {
            failures.push(reasonOf(cause))
          }
        }),
      )
      // One list that is complete and in force is enough, wherever it came from.
      const answer = answers.find(({ kind }) => kind === 'revoked') ?? answers[0]
      if (answer !== undefined) return { ...answer, until: Math.min(...answers.map(({ until }) => until)) }
      return failures.length > 0 ? { kind: 'silent', why: failures.join('; ') } : { kind: 'nobody' }
    }
    return askInOrder(crl.from_certificate, permitted(subject.listUrls), configured, readEach)
  }

  const check = (certificate: X509Certificate): Standing | Promise<Standing> => {
    const fingerprint = fingerprintOf(certificate)
    const decide = (): Standing | Promise<Standing> => {
      const standing = current(fingerprint)
      if (standing !== undefined) return standing
      let finding = pending.get(fingerprint)
      if (finding === undefined) {
        finding = findOut(certificate, fingerprint).finally(() => pending.delete(fingerprint))
        pending.set(fingerprint, finding)
      }
      return finding
    }
    const looking = lists?.look()
    return looking === undefined ? decide() : looking.then(decide)
  }

  return {
    check,
    isKnownRevoked(certificate) {
      const found = check(certificate)
      if (!(found instanceof Promise)) return found.kind === 'revoked'
      found.catch(() => {})
      return known.get(fingerprintOf(certificate))?.kind === 'revoked'
    },
    async prime() {
      const issuers = [...authorities.roots, ...authorities.intermediates]
      // Of the system's hundreds, one or two are ever asked about.
      if (lists === undefined || issuers.length > maxPrimed) return
      await lists.look()
      await Promise.all(
        lists.configured.map(async source => {
          const found = await Promise.allSettled(issuers.map(async issuer => lists.get(source, revocableOf(issuer))))
          const isOfNobody = found.every(one => one.status === 'fulfilled' && one.value.value === undefined)
          if (isOfNobody) log('warn', `revocation list ${source} is of none of the authorities that are believed`)
        }),
      )
    },
    close: () => closing.abort(new Error('the gateway is stopping')),
  }
}
