/** Ways to cut bytes into pieces, for code whose result must not depend on the pieces. */
import fc from "fast-check";

/** The ways to cut `length` bytes that every parser is tried with: whole, byte by byte, and at each single place. */
export function everyCut(length: number): number[][] {
  const cuts: number[][] = [[], Array.from({ length: Math.max(0, length - 1) }, (_, i) => i + 1)];
  for (let at = 1; at < length; at++) cuts.push([at]);
  return cuts;
}

/** Random places to cut at, as fractions of the whole. */
export const cutFractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });

/** The places in `length` bytes that `fractions` name, in order. */
export function placesOf(fractions: readonly number[], length: number): number[] {
  return fractions.map((fraction) => Math.floor(fraction * length)).sort((a, b) => a - b);
}

/** `bytes` cut at `places`; a place may stand twice, which makes no empty piece. */
export function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places, bytes.length];
  let start = 0;
  const pieces: Buffer[] = [];
  for (const end of ends) {
    if (end > start) pieces.push(bytes.subarray(start, end));
    start = Math.max(start, end);
  }
  return pieces;
}
