/**
 * mcrouter's buckets: a key belongs to a bucket, and the number of the bucket is placed instead of the key.
 *
 * Source: mcrouter routes/McBucketRoute.h, lib/HashSelector.h (BucketHashSelector), as facts: the bucket is Ch3 of the
 * routing key over all buckets. For keys with a prefix that has its own number of buckets, Ch3 over that number is
 * appended to the prefix, and the bucket of that text is Ch3 over all buckets.
 */
import type { BucketsConfig } from "../../config/config.ts";
import { Ch3Placement } from "./ch3.ts";
import type { Placement } from "./placement.ts";

/** Room for a decimal number. */
const DIGITS = 24;

/** Key → bucket. */
export class Buckets {
  readonly total: number;
  private readonly all: Ch3Placement;
  /** The longest prefix first. */
  private readonly byPrefix: readonly { readonly prefix: Buffer; readonly within: Ch3Placement }[];

  constructor({ total, byPrefix }: BucketsConfig) {
    this.total = total;
    this.all = new Ch3Placement(total);
    this.byPrefix = byPrefix
      .map(([prefix, buckets]) => ({ prefix: Buffer.from(prefix), within: new Ch3Placement(buckets) }))
      .sort((a, b) => b.prefix.length - a.prefix.length);
  }

  /** Bucket of the routing key `chunk[start, end)`. */
  of(chunk: Buffer, start: number, end: number): number {
    for (const { prefix, within } of this.byPrefix) {
      if (end - start < prefix.length || !isAt(prefix, chunk, start)) continue;
      const text = Buffer.concat([prefix, Buffer.from(String(within.locate(chunk, start, end)), "latin1")]);
      return this.all.locate(text, 0, text.length);
    }
    return this.all.locate(chunk, start, end);
  }
}

function isAt(prefix: Buffer, chunk: Buffer, start: number): boolean {
  for (let i = 0; i < prefix.length; i++) if (chunk[start + i] !== prefix[i]) return false;
  return true;
}

/** Places the decimal number of a key's bucket with `ofBucket`. */
export class BucketPlacement implements Placement {
  private readonly buckets: Buckets;
  private readonly ofBucket: Placement;
  private readonly text = Buffer.alloc(DIGITS);

  constructor(buckets: Buckets, ofBucket: Placement) {
    this.buckets = buckets;
    this.ofBucket = ofBucket;
  }

  get keyHash(): number {
    return this.ofBucket.keyHash;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    const length = this.text.write(String(this.buckets.of(chunk, start, end)), "latin1");
    return this.ofBucket.locate(this.text, 0, length);
  }
}
