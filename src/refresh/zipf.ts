/**
 * Random numbers from 0 to n − 1, where i has a probability proportional to 1 / (i + 1)^exponent. Each draw takes two
 * steps for any n.
 *
 * Source: Walker's alias method, in Vose's form ("A linear algorithm for generating random numbers with a given
 * distribution", 1991).
 */

export class ZipfSampler {
  private readonly threshold: Float64Array;
  private readonly alias: Uint32Array;
  private readonly random: () => number;

  constructor(count: number, exponent: number, random: () => number) {
    this.random = random;
    this.threshold = new Float64Array(count);
    this.alias = new Uint32Array(count);
    let sum = 0;
    for (let i = 0; i < count; i++) sum += (i + 1) ** -exponent;
    const small: number[] = [];
    const large: number[] = [];
    for (let i = 0; i < count; i++) {
      const share = ((i + 1) ** -exponent / sum) * count;
      this.threshold[i] = share;
      (share < 1 ? small : large).push(i);
    }
    while (small.length > 0 && large.length > 0) {
      const under = small.pop()!;
      const over = large.at(-1)!;
      this.alias[under] = over;
      this.threshold[over]! += this.threshold[under]! - 1;
      if (this.threshold[over]! < 1) small.push(large.pop()!);
    }
    for (const i of [...small, ...large]) this.threshold[i] = 1;
  }

  next(): number {
    const column = Math.floor(this.random() * this.threshold.length);
    return this.random() < this.threshold[column]! ? column : this.alias[column]!;
  }
}
