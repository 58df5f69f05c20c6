import { initialize } from 'wasm-themis'

/** Loads Themis' WebAssembly. Its loader takes a Node with `fetch` for a browser and would fetch a path, so `fetch` is away meanwhile. */
export async function loadThemis(): Promise<void> {
  const { fetch } = globalThis
  Reflect.deleteProperty(globalThis, 'fetch')
  try {
    await initialize()
  } finally {
    globalThis.fetch = fetch
  }
}
