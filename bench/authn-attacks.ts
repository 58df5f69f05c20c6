import { attacks, createAttacked, goodTokens } from '../packages/bawn/src/authn/token-attacks.fixture.ts'

// What each token of the table of attacks costs the gateway that refuses it: processor time of this process, threads of OpenSSL included, on
// first sight (nothing remembered). The median of no refusal may be more than `limitMs`, or this ends with status 1. Single rounds may
// have in them what earlier ones left to the garbage collector and the compiler.
//
//   node bench/authn-attacks.ts [rounds, 25] [--all: a row for each]

const args = process.argv.slice(2)
const rounds = Number(args.find(arg => arg !== '--all') ?? 25)
const shown = args.includes('--all') ? attacks.length : 10
const limitMs = 10

interface Cost {
  readonly name: string
  readonly median: number
  /** Of the dearest round but the last tenth. */
  readonly nineOfTen: number
}

/** Milliseconds of processor time, of every round. */
async function costOf(name: string, token: string, wanted: 'rejected' | 'identified'): Promise<Cost> {
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    // One that has seen no token yet, with keys and library loaded.
    const gateway = createAttacked()
    await gateway.prime()
    const before = process.cpuUsage()
    const { kind } = await gateway.authenticate(token)
    const { user, system } = process.cpuUsage(before)
    times.push((user + system) / 1000)
    if (kind !== wanted) throw new Error(`${name}: ${kind}`)
  }
  times.sort((a, b) => a - b)
  return { name, median: times[rounds >> 1] ?? 0, nineOfTen: times[Math.ceil(rounds * 0.9) - 1] ?? 0 }
}

// Nobody pays for the compiler: a gateway that has run for a while has compiled all of this.
for (const { token } of [...goodTokens, ...attacks]) await createAttacked().authenticate(token)

const good: Cost[] = []
for (const { name, token } of goodTokens) good.push(await costOf(name, token, 'identified'))
const refused: Cost[] = []
for (const { name, token } of attacks) {
  refused.push(await costOf(name, token, 'rejected'))
  if (refused.length % 50 === 0) console.error(`${refused.length} of ${attacks.length}`)
}
refused.sort((a, b) => b.median - a.median)

const row = ({ name, median, nineOfTen }: Cost): string => {
  const plain = JSON.stringify(name).slice(1, -1).replaceAll('|', '\\|')
  return `| ${plain} | ${median.toFixed(2)} | ${nineOfTen.toFixed(2)} |`
}
const all = refused.map(({ median }) => median)
const sum = all.reduce((total, time) => total + time, 0)
console.log(
  [
    `${attacks.length} tokens that must not get in, ${rounds} times each, at a gateway that has not seen them. Milliseconds of processor time`,
    `for one refusal: ${(sum / all.length).toFixed(2)} on average; the dearest, and what good tokens cost, below.`,
    '',
    '| refused | median ms | nine of ten below |',
    '|---|---|---|',
    ...refused.slice(0, shown).map(row),
    '',
    '| let in | median ms | nine of ten below |',
    '|---|---|---|',
    ...good.map(row),
  ].join('\n'),
)
const dear = refused.filter(({ median }) => median > limitMs)
if (dear.length > 0) {
  console.error(`more than ${limitMs} ms: ${dear.map(({ name }) => name).join(', ')}`)
  process.exitCode = 1
}
