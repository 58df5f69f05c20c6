import type { Command } from './command.ts'

// Every word that may stand after `bawn`, and the file that knows it. Files are loaded only when they are asked for: `bawn token`
// need not read the parts that read configuration.

export const nouns: Readonly<Record<string, () => Promise<readonly Command[]>>> = {
  demo: async () => (await import('./demo.ts')).commands,
  start: async () => (await import('./start.ts')).commands,
  check: async () => [(await import('./check.ts')).check],
  schema: async () => [(await import('./check.ts')).schema],
  reload: async () => [(await import('./reload.ts')).reload],
  explain: async () => (await import('./explain.ts')).commands,
  keys: async () => (await import('./keys.ts')).commands,
  accounts: async () => (await import('./accounts.ts')).commands,
  'api-keys': async () => (await import('./api-keys.ts')).commands,
  token: async () => (await import('./token.ts')).commands,
  tokens: async () => (await import('./tokens.ts')).commands,
  sessions: async () => (await import('./sessions.ts')).commands,
  policy: async () => (await import('./policy.ts')).commands,
  firewall: async () => (await import('./firewall.ts')).commands,
  rls: async () => (await import('./rls.ts')).commands,
  sql: async () => (await import('./sql.ts')).commands,
  audit: async () => (await import('./audit.ts')).commands,
}
