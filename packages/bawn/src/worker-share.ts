import type { Config } from './config/load.ts'

/**
 * The configuration that one of several workers serves. Connections are a worker's own, and so is its part of those that the file permits:
 * of a listener, and to an upstream, a store of accounts or a database with a pool. Never more in all than the file says; `check-workers.ts` sees to it that each has one.
 */
export function shareOf(config: Config, workers: number): Config {
  const part = <Options extends { readonly max_connections?: number | undefined }>(options: Options): Options =>
    options.max_connections === undefined
      ? options
      : { ...options, max_connections: Math.floor(options.max_connections / workers) }
  const parts = <Options extends object>(section: Readonly<Record<string, Options>>): Record<string, Options> =>
    Object.fromEntries(Object.entries(section).map(([name, options]) => [name, part(options)]))
  return {
    ...config,
    listeners: parts(config.listeners),
    upstreams: parts(config.upstreams),
    accounts: parts(config.accounts),
    databases: Object.fromEntries(
      Object.entries(config.databases).map(([name, { pool, ...options }]) => [
        name,
        pool === undefined ? options : { ...options, pool: { ...pool, size: Math.floor(pool.size / workers) } },
      ]),
    ),
  }
}
