import type { ChildProcess } from 'node:child_process'

/** What a program prints first that looks so: the pattern's first group. Rejects with all that it has said when it ends before. */
export function heard(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const read = (bytes: Buffer): void => {
      said += String(bytes)
      const found = pattern.exec(said)?.[1]
      if (found !== undefined) resolve(found)
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('exit', status => reject(new Error(`it ended with ${status}: ${said}`)))
  })
}
