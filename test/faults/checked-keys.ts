/**
 * The keys of one checking client, and what they hold. A value is derived from its key and a version, so that any byte of
 * another request is noticed. Where the outcome of a write is unknown, the key is given up and another takes its place.
 */
import type { Random } from "../fuzz/random.ts";

const KEYS = 12;
const SMALL_BYTES = 200;
const LARGE_BYTES = 12_000;
const LARGE_ONCE_IN = 20;

export interface CheckedKey {
  readonly name: string;
  /** The version that was last stored; 0: nothing is. */
  version: number;
  /** The value may have been lost with its server: a miss is right, and so is the value. */
  mayMiss: boolean;
}

export class CheckedKeys {
  private readonly prefix: string;
  private readonly random: Random;
  private readonly keys: CheckedKey[] = [];
  private made = 0;
  private versions = 0;

  constructor(prefix: string, random: Random) {
    this.prefix = prefix;
    this.random = random;
    for (let i = 0; i < KEYS; i++) this.keys.push(this.make());
  }

  pick(): CheckedKey {
    return this.random.pick(this.keys);
  }

  /** Different keys, two or more. */
  pickSome(): CheckedKey[] {
    const from = this.random.below(KEYS - 6);
    return this.keys.slice(from, from + 2 + this.random.below(4));
  }

  nextVersion(): number {
    return ++this.versions;
  }

  giveUp(key: CheckedKey): void {
    this.keys[this.keys.indexOf(key)] = this.make();
  }

  private make(): CheckedKey {
    return { name: `checked:${this.prefix}:${this.made++}`, version: 0, mayMiss: false };
  }
}

/** What is stored for a version of a key. */
export function checkedValue(name: string, version: number): string {
  const head = `<${name}#${version}>`;
  const isLarge = version % LARGE_ONCE_IN === 0;
  const length = head.length + ((version * 7_919) % (isLarge ? LARGE_BYTES : SMALL_BYTES));
  return head.repeat(Math.ceil(length / head.length)).slice(0, length);
}

/** What the origin answers for a page, and a page's fill therefore is. */
export function pageValue(name: string): string {
  return `<page ${name}>`.repeat(3);
}
