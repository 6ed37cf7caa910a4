/**
 * 32-bit hash of key bytes for tables in memory, four bytes at a time. Source: MurmurHash3 (x86, 32 bits) by Austin
 * Appleby, in the public domain.
 */
export function keyHash(chunk: Buffer, start: number, end: number): number {
  let hash = 0;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    hash = mixed(hash, chunk[i]! | (chunk[i + 1]! << 8) | (chunk[i + 2]! << 16) | (chunk[i + 3]! << 24));
  }
  let rest = 0;
  for (let shift = 0; i < end; i++, shift += 8) rest |= chunk[i]! << shift;
  return finished(hash ^ scrambled(rest), end - start);
}

function mixed(hash: number, block: number): number {
  const next = hash ^ scrambled(block);
  return (Math.imul((next << 13) | (next >>> 19), 5) + 0xe6546b64) | 0;
}

function scrambled(block: number): number {
  const product = Math.imul(block, 0xcc9e2d51);
  return Math.imul((product << 15) | (product >>> 17), 0x1b873593);
}

function finished(hash: number, length: number): number {
  let last = hash ^ length;
  last = Math.imul(last ^ (last >>> 16), 0x85ebca6b);
  last = Math.imul(last ^ (last >>> 13), 0xc2b2ae35);
  return last ^ (last >>> 16);
}
