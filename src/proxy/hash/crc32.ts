/** The CRC-32 of IEEE 802.3 over key bytes in place. */
import type { Placement } from "./placement.ts";

const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** CRC-32 of `chunk[start, end)` as an unsigned number. */
export function crc32(chunk: Buffer, start: number, end: number): number {
  let crc = -1;
  for (let i = start; i < end; i++) crc = table[(crc ^ chunk[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** mcrouter's Crc32: the checksum modulo the number of members. One more member moves most keys. */
export class Crc32Placement implements Placement {
  keyHash = 0;
  private readonly count: number;

  constructor(count: number) {
    this.count = count;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    this.keyHash = crc32(chunk, start, end);
    return (this.keyHash & 0x7fffffff) % this.count;
  }
}
