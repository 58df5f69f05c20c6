/** For the lines of one turn of the event loop. */
const usualRoom = 65_536
const maxKeptRoom = 1_048_576

/**
 * Lines on their way to the file. A write that is cut short (disk full) leaves its rest here, and the next one goes on at that byte: no
 * line is lost, repeated or torn as long as the process lives.
 */
export class PendingLines {
  /** Lines one behind the other, up to `#end`; what is before `#from` is written. */
  #room: Buffer = Buffer.allocUnsafeSlow(usualRoom)
  #from = 0
  #end = 0
  /** Mac of the newest line. */
  #newestMac: string
  /** Where what is being written ends, and the mac of its last line. */
  #restEnd = 0
  #restMac: string
  #writtenMac: string

  /** @param mac of the last line that is in the file already, as text */
  constructor(mac: string) {
    this.#newestMac = mac
    this.#restMac = mac
    this.#writtenMac = mac
  }

  get isEmpty(): boolean {
    return this.#from === this.#end
  }

  /** Of the last line that was written whole. */
  get writtenMac(): string {
    return this.#writtenMac
  }

  /** @param line with its newline */
  add(line: string, mac: string): void {
    this.#makeRoom(line.length * 3)
    this.#end += this.#room.write(line, this.#end)
    this.#newestMac = mac
  }

  /** @param write returns how many of the bytes it took; what it throws comes through, and nothing is lost */
  drain(write: (bytes: Buffer) => number): void {
    while (!this.isEmpty) {
      if (this.#from === this.#restEnd) {
        this.#restEnd = this.#end
        this.#restMac = this.#newestMac
      }
      while (this.#from < this.#restEnd) this.#from += write(this.#room.subarray(this.#from, this.#restEnd))
      this.#writtenMac = this.#restMac
    }
    this.#from = 0
    this.#end = 0
    this.#restEnd = 0
    if (this.#room.length > maxKeptRoom) this.#room = Buffer.allocUnsafeSlow(usualRoom)
  }

  #makeRoom(bytes: number): void {
    if (this.#end + bytes <= this.#room.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#room.length, this.#end + bytes))
    this.#room.copy(larger, 0, 0, this.#end)
    this.#room = larger
  }
}
