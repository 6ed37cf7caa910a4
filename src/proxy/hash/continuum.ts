/**
 * Points on a circle of 2^32 places, each owned by a member. Where a search begins is known for the top bits of a place,
 * so that it ends a step or two on.
 */

const FIRSTS_BITS = 12;
const FIRSTS_SHIFT = 32 - FIRSTS_BITS;

/** A place on the circle and the index of who owns it. */
export interface Point {
  readonly value: number;
  readonly owner: number;
}

export class Continuum {
  private readonly points: Uint32Array;
  private readonly owners: Uint16Array;
  /** For the top bits of a place, the first point at or behind them. */
  private readonly firsts: Uint32Array;

  /** `points` are sorted by value; there is at least one. */
  constructor(points: readonly Point[]) {
    this.points = Uint32Array.from(points, ({ value }) => value);
    this.owners = Uint16Array.from(points, ({ owner }) => owner);
    this.firsts = new Uint32Array(1 << FIRSTS_BITS);
    let point = 0;
    for (let i = 0; i < this.firsts.length; i++) {
      while (point < this.points.length && this.points[point]! < i * 2 ** FIRSTS_SHIFT) point++;
      this.firsts[i] = point;
    }
  }

  /** Owner of the first point at or behind `place`, around the end. */
  ownerFrom(place: number): number {
    const points = this.points;
    let at = this.firsts[place >>> FIRSTS_SHIFT]!;
    while (at < points.length && points[at]! < place) at++;
    return this.owners[at === points.length ? 0 : at]!;
  }

  /** Owner of the last point at or before `place`, around the beginning. */
  ownerUpTo(place: number): number {
    const points = this.points;
    let at = this.firsts[place >>> FIRSTS_SHIFT]!;
    while (at < points.length && points[at]! <= place) at++;
    return this.owners[at === 0 ? points.length - 1 : at - 1]!;
  }
}
