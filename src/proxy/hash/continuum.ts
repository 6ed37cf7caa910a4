/**
 * Points on a circle of 2^32 places, each owned by a member. A table for the top bits of a place gives the start of a
 * search, so that it ends after one or two steps for any number of points.
 */

const LEAST_FIRSTS_BITS = 12;
const MOST_FIRSTS_BITS = 20;
const OWNERS = 2 ** 16;

/** A point as one number, from its place on the circle and the index of its owner. The numbers have the order of the points. */
export function pointOf(place: number, owner: number): number {
  return place * OWNERS + owner;
}

export class Continuum {
  private readonly points: Uint32Array;
  private readonly owners: Uint16Array;
  /** For the top bits of a place, the first point at or after them. */
  private readonly firsts: Uint32Array;
  private readonly shift: number;

  /** `points` come from `pointOf`, in any order; at least one. They are sorted in place. */
  constructor(points: Float64Array) {
    points.sort();
    this.points = Uint32Array.from(points, (point) => Math.floor(point / OWNERS));
    this.owners = Uint16Array.from(points, (point) => point % OWNERS);
    const bits = Math.min(MOST_FIRSTS_BITS, Math.max(LEAST_FIRSTS_BITS, Math.ceil(Math.log2(points.length))));
    this.shift = 32 - bits;
    this.firsts = new Uint32Array(2 ** bits);
    let point = 0;
    for (let i = 0; i < this.firsts.length; i++) {
      while (point < this.points.length && this.points[point]! < i * 2 ** this.shift) point++;
      this.firsts[i] = point;
    }
  }

  /** Owner of the first point at or after `place`, wrapping at the end. */
  ownerFrom(place: number): number {
    const points = this.points;
    let at = this.firsts[place >>> this.shift]!;
    while (at < points.length && points[at]! < place) at++;
    return this.owners[at === points.length ? 0 : at]!;
  }

  /** Owner of the last point at or before `place`, wrapping at the beginning. */
  ownerUpTo(place: number): number {
    const points = this.points;
    let at = this.firsts[place >>> this.shift]!;
    while (at < points.length && points[at]! <= place) at++;
    return this.owners[at === 0 ? points.length - 1 : at - 1]!;
  }
}
