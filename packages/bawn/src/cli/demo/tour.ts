/** One command of the tour, and what it promises. */
export interface Step {
  readonly title: string
  /** A line for a POSIX shell in which the file `env` has been read. */
  readonly command: string
  /** What one should see, in words. */
  readonly see: string
  readonly exit: 'zero' | 'not zero'
  /** What its output (both streams) must show … */
  readonly shows: readonly RegExp[]
  /** … and must not. */
  readonly hides: readonly RegExp[]
}

export interface Tools {
  readonly psql: boolean
  readonly curl: boolean
}

/** Parts of an address that nobody but billing may see. */
const plainAddress = /aoife\.ahern@|hugh\.daly@/
const maskedAddress = /a\*\*\*\*@example\.com/
/** How a container begins: the serialized envelope, or a bare AcraStruct. */
const sealedHex = /252525|2222222222222222/

/** The whole tour; where `psql` or `curl` is not installed, with our own small clients in their place. */
export function makeTour(tools: Tools): readonly Step[] {
  const psql = tools.psql ? 'psql' : 'npx bawn sql'
  /** @param token the name of a variable */
  const curl = (token: string, rest: string) =>
    tools.curl
      ? `curl -s -H "Authorization: Bearer $${token}" ${rest}`
      : `npx bawn demo get --token "$${token}" ${rest.replace(/^-i /, '')}`
  const post = tools.curl ? '-H "Content-Type: application/json" -d' : '--data'
  const people = '"select id, name, email from people order by id limit 2"'
  return [
    {
      title: 'Alice of support asks the API. Her token says who she is',
      command: curl('ALICE', '"$WEB/people?limit=2"'),
      see: 'two people, their e-mail masked: a****@example.com',
      exit: 'zero',
      shows: [/Aoife Ahern/, maskedAddress],
      hides: [plainAddress],
    },
    {
      title: 'The same token is her password in PostgreSQL, and the same field is masked there',
      command: `PGUSER=alice PGPASSWORD=$ALICE ${psql} "$SQL" -c ${people}`,
      see: 'the same two people, masked in the same way',
      exit: 'zero',
      shows: [/Aoife Ahern/, maskedAddress],
      hides: [plainAddress],
    },
    {
      title: 'Olga has a password instead (SCRAM-SHA-256) and the same role',
      command: `PGUSER=olga PGPASSWORD=$OLGA ${psql} "$SQL" -c ${people}`,
      see: 'masked, as for Alice',
      exit: 'zero',
      shows: [/Aoife Ahern/, maskedAddress],
      hides: [plainAddress],
    },
    {
      title: 'The billing service shows a client certificate',
      command: `${psql} "$SQL_BILLING" -c ${people}`,
      see: 'the addresses in plain',
      exit: 'zero',
      shows: [/aoife\.ahern@example\.com/, /hugh\.daly@example\.net/],
      hides: [/\*\*\*\*/],
    },
    {
      title: 'Billing over HTTP; person 1000 was written by an app that holds a public key and nothing else',
      command: curl('BILLING', '"$WEB/people/1000"'),
      see: 'the address in plain',
      exit: 'zero',
      shows: [/"email":"[a-z]+\.[a-z]+999@example\.com"/],
      hides: [/\*\*\*\*/],
    },
    {
      title: 'Carol may log in, and her role sees nothing of the field',
      command: curl('CAROL', '"$WEB/people?limit=2"'),
      see: '"email": null, the rest as it is',
      exit: 'zero',
      shows: [/Aoife Ahern/, /"email": ?null/],
      hides: [plainAddress, /\*\*\*\*/],
    },
    {
      title: 'Carol in SQL',
      command: `PGUSER=carol PGPASSWORD=$CAROL ${psql} "$SQL" -c ${people}`,
      see: 'an empty e-mail column',
      exit: 'zero',
      shows: [/Aoife Ahern/],
      hides: [plainAddress, /\*\*\*\*/, /example\./],
    },
    {
      title: 'Straight at PostgreSQL, past the gateway, with the login of the shop API itself',
      command: `${psql} "$STRAIGHT" -c "select id, name, left(encode(email, 'hex'), 32) as email from people order by id limit 2"`,
      see: 'ciphertext: what a stolen dump would show',
      exit: 'zero',
      shows: [/Aoife Ahern/, sealedHex],
      hides: [plainAddress, /\*\*\*\*/],
    },
    {
      title: 'Alice may not look for what she may not see',
      command: `PGUSER=alice PGPASSWORD=$ALICE ${psql} "$SQL" -c "select name from people where email = 'aoife.ahern@example.com'"`,
      see: 'an error that names the column and says what to do instead',
      exit: 'not zero',
      shows: [/ERROR/i, /email/, /hint/i],
      hides: [/Aoife Ahern/],
    },
    {
      title: 'Alice adds a person. Bawn seals the address on its way in; the shop API never sees it',
      command: curl(
        'ALICE',
        `${post} '{"name":"Nuala Kerr","city":"Sligo","email":"nuala@example.com"}' "$WEB/people"`,
      ),
      see: 'the new person, the address masked for Alice even now: n****@example.com',
      exit: 'zero',
      shows: [/Nuala Kerr/, /n\*\*\*\*@example\.com/],
      hides: [/nuala@/],
    },
    {
      title: 'A token that is wrong by one character, over HTTP',
      command: curl('{ALICE}x', '-i "$WEB/people"'),
      see: '401, a stable code, and how to do it right in WWW-Authenticate',
      exit: tools.curl ? 'zero' : 'not zero',
      shows: [/\b401\b/, /www-authenticate: bearer/i, /"code": ?"[a-z]+\.[a-z_]+"/],
      hides: [/Aoife/],
    },
    {
      title: 'The same in PostgreSQL',
      command: `PGUSER=alice PGPASSWORD=\${ALICE}x ${psql} "$SQL" -c ${people}`,
      see: 'password authentication failed (28P01), the same as for a user that does not exist',
      exit: 'not zero',
      shows: [/password authentication failed|28P01/],
      hides: [/Aoife/],
    },
    {
      title: 'Why would Alice see what she sees?',
      command: 'npx bawn explain request --config "$DEMO/bawn.yaml" --token "$DEMO/alice.token" GET /people',
      see: 'who she is, the policy that permits, and the rule email.reveal.support that masks',
      exit: 'zero',
      shows: [/alice/, /support/, /email\.reveal\.support/, /mask/],
      hides: [],
    },
    {
      title: 'And which rule would let billing in?',
      command: 'npx bawn explain login --config "$DEMO/bawn.yaml" --user billing --database shop --tls',
      see: 'the host rule "services" and the mechanism: certificate',
      exit: 'zero',
      shows: [/services/, /certificate/],
      hides: [],
    },
    {
      title: 'A configuration with a misspelt key does not start',
      command:
        'sed "s/reveal:/reveel:/" "$DEMO/bawn.yaml" > "$DEMO/broken.yaml"; npx bawn check --config "$DEMO/broken.yaml"',
      see: 'file, line and column, and the key that was probably meant: reveal',
      exit: 'not zero',
      shows: [/broken\.yaml:\d+:\d+/, /reveel/, /did you mean "reveal"/],
      hides: [],
    },
    {
      title: 'Everything above is in the audit file, each line chained to the one before',
      command: 'npx bawn audit verify --config "$DEMO/bawn.yaml"',
      see: 'how many lines, and that the chain is intact',
      exit: 'zero',
      shows: [/\d+ lines/],
      hides: [/broken/],
    },
    {
      title: 'One byte of a copy is changed',
      command:
        'sed "3s/\\"kind\\":\\"./\\"kind\\":\\"X/" "$DEMO/data/audit.jsonl" > "$DEMO/forged.jsonl"; npx bawn audit verify --config "$DEMO/bawn.yaml" "$DEMO/forged.jsonl"',
      see: 'it fails and names line 3',
      exit: 'not zero',
      shows: [/line 3\b/],
      hides: [],
    },
  ]
}

/** What a command did. */
export interface Observed {
  readonly status: number
  /** Both streams. */
  readonly output: string
}

/** @returns how the observation differs from the promise, in words; empty when it does not */
export function compare(step: Step, observed: Observed): readonly string[] {
  const differences: string[] = []
  if ((observed.status === 0) !== (step.exit === 'zero')) {
    differences.push(`exit status ${observed.status}, promised: ${step.exit}`)
  }
  for (const pattern of step.shows) if (!pattern.test(observed.output)) differences.push(`does not show ${pattern}`)
  for (const pattern of step.hides) if (pattern.test(observed.output)) differences.push(`shows ${pattern}`)
  return differences
}

/** The tour as text, for the terminal. */
export function renderTour(steps: readonly Step[], envFile: string): string {
  const parts = [`First, once in the other terminal, from this folder:\n\n    . ${quote(envFile)}\n`]
  for (const [index, step] of steps.entries()) {
    parts.push(`${String(index + 1).padStart(2)}  ${step.title}\n\n    ${step.command}\n\n    -> ${step.see}\n`)
  }
  return parts.join('\n')
}

/** A path as one word of a shell. */
export function quote(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
