/**
 * How much of its answers a client may have under way at once. The size of an answer is not known before it comes, so it is
 * estimated from the earlier answers to the same client: large answers raise the estimate fast, small ones lower it slowly.
 */
import type { Turn } from "../wire/turn.ts";
import { MAX_KEYS_PER_ROUND } from "./rounds.ts";

/** Bytes of values, expected, held or unsent, that a streamed get may have (streamed-get.ts). */
export const READ_AHEAD_BYTES = 1024 * 1024;
/** Bytes of all answers that a client may expect: where they are small on average, and where they are not. */
const MAX_SMALL_BYTES = 16 * 1024 * 1024;
const MAX_LARGE_BYTES = 2 * 1024 * 1024;
const SMALL_ANSWER_BYTES = 16 * 1024;
/** Number of keys after which the estimate counts. */
const KNOWN_AFTER = 16;
/** Maximum number of keys under way until then, and the first keys of a streamed get. Fewer if values have been large lately. */
const MAX_UNKNOWN_KEYS = 256;
const MAX_UNKNOWN_LARGE_KEYS = 4;
const FIRST_KEYS = 32;
const FIRST_LARGE_KEYS = 2;
const LARGE_VALUE_BYTES = 256 * 1024;
/** Time for which a large value counts (ms). */
const LARGE_FOR_MS = 10 * 60_000;
const LEAST_ANSWER_BYTES = 1024;
/** A larger answer raises the estimate by one part in 2^1 of the difference. */
const RISE_SHIFT = 1;
/** A smaller answer lowers the estimate by one part in 2^3 of the difference. */
const FALL_SHIFT = 3;

/** Whether clients of this process have had large values lately. */
export class ValueSizes {
  private readonly turn: Turn;
  private largeMs = Number.NEGATIVE_INFINITY;
  /** Keys under way in gets that are gathered although nothing is known of their client's values. */
  private unknownKeys = 0;

  constructor(turn: Turn) {
    this.turn = turn;
  }

  /** Notes a value of so many bytes, read or written. */
  note(bytes: number): void {
    if (bytes > LARGE_VALUE_BYTES) this.largeMs = this.turn.nowMs();
  }

  /** Has a get of so many keys be gathered, for a client of which nothing is known. False: it is not to be. */
  admitUnknown(keys: number): boolean {
    const most = this.areLarge ? MAX_UNKNOWN_LARGE_KEYS : MAX_UNKNOWN_KEYS;
    if (this.unknownKeys + keys > most) return false;
    this.unknownKeys += keys;
    return true;
  }

  /** To be called once for each get that was admitted, when it was answered. */
  endUnknown(keys: number): void {
    this.unknownKeys -= keys;
  }

  get areLarge(): boolean {
    return this.turn.nowMs() - this.largeMs < LARGE_FOR_MS;
  }
}

/** The estimate for one client. */
export class ReadAhead {
  private readonly sizes: ValueSizes;
  private answerBytes = LEAST_ANSWER_BYTES;
  private noted = 0;
  /**
   * Keys under way at which no further gets are taken up. Servers' connections are shared: what one client has under way delays
   * the others.
   */
  maxKeys: number;

  constructor(sizes: ValueSizes) {
    this.sizes = sizes;
    this.maxKeys = this.keysOfUnknown;
  }

  /** To be called for each read: while nothing is known of the client, `maxKeys` follows the values of the others. */
  followOthers(): void {
    if (!this.isKnown) this.maxKeys = this.keysOfUnknown;
  }

  /** Notes an answer of so many bytes, to a get of so many keys. */
  note(answer: number, keys: number): void {
    const { answerBytes } = this;
    const bytes = keys === 1 ? answer : (answer / keys) | 0;
    // The usual case: small answers to a client that has had no others.
    if (bytes <= LEAST_ANSWER_BYTES && answerBytes <= LEAST_ANSWER_BYTES && this.isKnown) return;
    this.noted += keys;
    this.sizes.note(bytes);
    if (bytes > answerBytes) this.answerBytes = answerBytes + ((bytes - answerBytes) >> RISE_SHIFT);
    else if (answerBytes > LEAST_ANSWER_BYTES) this.answerBytes = answerBytes - ((answerBytes - bytes) >> FALL_SHIFT);
    const most = this.answerBytes <= SMALL_ANSWER_BYTES ? MAX_SMALL_BYTES : MAX_LARGE_BYTES;
    this.maxKeys = this.isKnown ? Math.max(1, (most / this.answerBytes) | 0) : this.keysOfUnknown;
  }

  get isKnown(): boolean {
    return this.noted >= KNOWN_AFTER;
  }

  /** Answers are known to be small. */
  get isSmall(): boolean {
    return this.isKnown && this.answerBytes <= SMALL_ANSWER_BYTES;
  }

  /** Keys that a streamed get asks for in its first turn; in each later one twice as many, up to a client's share. */
  get firstKeys(): number {
    if (this.isSmall) return MAX_KEYS_PER_ROUND;
    return this.sizes.areLarge ? FIRST_LARGE_KEYS : FIRST_KEYS;
  }

  /** Bytes expected of `answers` answers. */
  expect(answers: number): number {
    return answers * this.answerBytes;
  }

  private get keysOfUnknown(): number {
    return this.sizes.areLarge ? MAX_UNKNOWN_LARGE_KEYS : MAX_UNKNOWN_KEYS;
  }
}
