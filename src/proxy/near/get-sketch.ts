/**
 * Estimates how often keys are asked for, in a fixed amount of memory: a count-min sketch. A key counts in two cells, and
 * only its smaller cell is increased (conservative update), so that an estimate is never too small and rarely too large.
 * Both cells are in one line of the CPU cache. Counts are halved once a second by the owner, so that a key with a steady
 * rate r counts between r and 2 r.
 */

const LINES = 4096;
const LINE_BYTES = 64;
const MAX_COUNT = 255;

export class GetSketch {
  private readonly cells = new Uint8Array(LINES * LINE_BYTES);
  /** The same memory, four cells at a time. */
  private readonly words = new Uint32Array(this.cells.buffer);

  /** Counts a get of a key with this hash. Returns the new estimate. */
  add(hash: number): number {
    const { cells } = this;
    const line = (hash & (LINES - 1)) * LINE_BYTES;
    const spread = Math.imul(hash, 0x9e3779b1);
    const one = line + (spread >>> 26);
    const other = line + ((spread >>> 20) & (LINE_BYTES - 1));
    const a = cells[one]!;
    const b = cells[other]!;
    const least = Math.min(a, b);
    if (least === MAX_COUNT) return least;
    if (a === least) cells[one] = least + 1;
    if (b === least) cells[other] = least + 1;
    return least + 1;
  }

  /** Halves all counts. */
  halve(): void {
    const { words } = this;
    for (let i = 0; i < words.length; i++) words[i] = (words[i]! >>> 1) & 0x7f7f7f7f;
  }
}
