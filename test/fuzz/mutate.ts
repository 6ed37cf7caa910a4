/** Ways to break and to cut bytes. */
import { cutAt } from "../support/vectors/parts.ts";
import type { Random } from "./random.ts";

/** What parsers stumble over. */
const STUMBLING_BLOCKS: readonly string[] = [
  ...["\r\n", "\n", "\r", "\0", " ", "  ", "\t", "-1", "0", "4294967296", "99999999999999999999", " noreply", " q"],
  ...["\x80", "\x81", "END\r\n", "VALUE ", "VA 5 \r\n", "mn\r\n", "ERROR\r\n", "\xff\xff\xff\xff", "k".repeat(251)],
];

/** `bytes` with up to three places broken. */
export function mutate(random: Random, bytes: Buffer): Buffer {
  let broken = bytes;
  for (let times = random.below(4); times > 0; times--) broken = mutateOnce(random, broken);
  return broken;
}

function mutateOnce(random: Random, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + random.below(random.oneIn(4) ? bytes.length : 8));
  const [before, span, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
  switch (random.below(6)) {
    case 0:
      return Buffer.concat([before, after]);
    case 1:
      return Buffer.concat([before, span, span, after]);
    case 2:
      return Buffer.concat([before, random.bytes(span.length), after]);
    case 3:
      return Buffer.concat([before, Buffer.from(random.pick(STUMBLING_BLOCKS), "latin1"), span, after]);
    case 4:
      return Buffer.concat([before, Buffer.from(random.pick(STUMBLING_BLOCKS), "latin1"), after]);
    default: {
      const flipped = Buffer.from(bytes);
      if (at < flipped.length) flipped[at] = flipped[at]! ^ (1 << random.below(8));
      return flipped;
    }
  }
}

/** `bytes` in pieces: whole, in a few, or in many. */
export function pieces(random: Random, bytes: Buffer): Buffer[] {
  const count = random.pick([0, 1, 3, 20]);
  const places = Array.from({ length: count }, () => random.below(bytes.length + 1)).sort((a, b) => a - b);
  return cutAt(bytes, places);
}
