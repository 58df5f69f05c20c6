import type { TokenStore } from './store.ts'

// The store of kind memory, where several threads serve: it is in the first of them, and the others ask.

type Method = Exclude<keyof TokenStore, 'close'>

/** A call of a method, as it can be posted. */
export type TokenQuestion = {
  readonly [Name in Method]: { readonly method: Name; readonly args: Parameters<TokenStore[Name]> }
}[Method]

/** What the first thread answers. */
export interface TokenAnswers {
  tokens(question: TokenQuestion): Promise<unknown>
}

/** The store as other threads have it. What comes back is what the store gave: both ends are this program. */
export function remoteTokenStore({ tokens }: TokenAnswers): TokenStore {
  const ask = <Name extends Method>(method: Name, args: Parameters<TokenStore[Name]>): ReturnType<TokenStore[Name]> =>
    tokens({ method, args } as TokenQuestion) as ReturnType<TokenStore[Name]>
  return {
    add: (...args) => ask('add', args),
    find: (...args) => ask('find', args),
    extend: (...args) => ask('extend', args),
    removeSubject: (...args) => ask('removeSubject', args),
    removeAll: (...args) => ask('removeAll', args),
    list: (...args) => ask('list', args),
    // As in the first thread: a reload goes on with the same tokens.
    close: async () => {},
  }
}

/** Answers for a store in this thread. */
export function tokenAnswers(store: TokenStore): TokenAnswers {
  return {
    async tokens(question) {
      switch (question.method) {
        case 'add':
          return store.add(...question.args)
        case 'find':
          return store.find(...question.args)
        case 'extend':
          return store.extend(...question.args)
        case 'removeSubject':
          return store.removeSubject(...question.args)
        case 'removeAll':
          return store.removeAll(...question.args)
        case 'list':
          return store.list(...question.args)
      }
    },
  }
}
