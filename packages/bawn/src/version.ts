import { readFileSync } from 'node:fs'

/** Version in the package's own package.json: one folder above in a checkout, beside the compiled files when installed. */
export function packageVersion(): string {
  for (const place of ['../package.json', './package.json']) {
    const version = versionIn(new URL(place, import.meta.url))
    if (version !== undefined) return version
  }
  return 'unknown'
}

function versionIn(manifest: URL): string | undefined {
  try {
    const { name, version }: { name?: unknown; version?: unknown } = JSON.parse(readFileSync(manifest, 'utf8'))
    return name === 'bawn' && typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}
