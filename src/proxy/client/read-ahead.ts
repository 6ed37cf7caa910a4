/**
 * Limits the keys of a client that are in flight: by the expected size of their replies, and after a miss that is being
 * filled. The size of a reply is unknown before it arrives, so it is estimated from earlier replies to that client:
 * large replies raise the estimate fast, small ones lower it slowly.
 */
import type { FillClient } from "../request.ts";
import type { Turn } from "../wire/turn.ts";
import { MAX_KEYS_PER_ROUND } from "./rounds.ts";

/** Maximum size of values of a streamed get that are expected, held or unsent (streamed-get.ts). */
export const READ_AHEAD_BYTES = 1024 * 1024;
/** Maximum expected size of all replies of a client, if they are small on average, and otherwise. */
const MAX_SMALL_BYTES = 16 * 1024 * 1024;
const MAX_LARGE_BYTES = 2 * 1024 * 1024;
const SMALL_ANSWER_BYTES = 16 * 1024;
/** Number of keys after which the estimate applies. */
const KNOWN_AFTER = 16;
/**
 * Until then, the maximum number of keys in flight, and the first keys of a streamed get. Fewer if values were large
 * recently.
 */
const MAX_UNKNOWN_KEYS = 256;
const MAX_UNKNOWN_LARGE_KEYS = 4;
const FIRST_KEYS = 32;
const FIRST_LARGE_KEYS = 2;
const LARGE_VALUE_BYTES = 256 * 1024;
/** Time for which a large value counts (ms). */
const LARGE_FOR_MS = 10 * 60_000;
const LEAST_ANSWER_BYTES = 1024;
/** A larger reply raises the estimate by one part in 2^1 of the difference. */
const RISE_SHIFT = 1;
/** A smaller reply lowers the estimate by one part in 2^3 of the difference. */
const FALL_SHIFT = 3;
/** Maximum number of keys in flight, whatever the values. */
const MAX_WINDOW = MAX_SMALL_BYTES / LEAST_ANSWER_BYTES;
/** The same after a miss that is being filled. */
const FILL_WINDOW = 64;

/** Records whether clients of this process had large values recently. */
export class ValueSizes {
  private readonly turn: Turn;
  private largeMs = Number.NEGATIVE_INFINITY;
  /** Number of keys in flight in gets that are gathered although their client's values are unknown. */
  private unknownKeys = 0;

  constructor(turn: Turn) {
    this.turn = turn;
  }

  /** Records the size of a value that was read or written. */
  note(bytes: number): void {
    if (bytes > LARGE_VALUE_BYTES) this.largeMs = this.turn.nowMs();
  }

  /**
   * Admits a get of this number of keys to be gathered, for a client with unknown values. False if it must be streamed.
   */
  admitUnknown(keys: number): boolean {
    const most = this.areLarge ? MAX_UNKNOWN_LARGE_KEYS : MAX_UNKNOWN_KEYS;
    if (this.unknownKeys + keys > most) return false;
    this.unknownKeys += keys;
    return true;
  }

  /** Call once for each admitted get, after its reply. */
  endUnknown(keys: number): void {
    this.unknownKeys -= keys;
  }

  get areLarge(): boolean {
    return this.turn.nowMs() - this.largeMs < LARGE_FOR_MS;
  }
}

/** The estimate for one client. */
export class ReadAhead implements FillClient {
  private readonly sizes: ValueSizes;
  private answerBytes = LEAST_ANSWER_BYTES;
  private noted = 0;
  /**
   * Number of keys in flight that the expected size of the replies allows. Connections to servers are shared: the keys
   * of one client delay the others.
   */
  private maxKeys: number;
  /**
   * Another such number of keys: few after a miss that is being filled, and one more with each reply since. A fill
   * takes much more time than a hit, and clients share the queues of the sources.
   */
  window = MAX_WINDOW;

  constructor(sizes: ValueSizes) {
    this.sizes = sizes;
    this.maxKeys = this.keysOfUnknown;
  }

  /** Number of keys in flight at which no further gets are read. */
  get mostKeys(): number {
    return Math.min(this.maxKeys, this.window);
  }

  fillBegins(): void {
    this.window = FILL_WINDOW;
  }

  /** Call for each reply, with its number of keys. */
  answered(keys: number): void {
    if (this.window < MAX_WINDOW) this.window += keys;
  }

  /** Call for each read: while the client's values are unknown, `maxKeys` follows the values of the other clients. */
  followOthers(): void {
    if (!this.isKnown) this.maxKeys = this.keysOfUnknown;
  }

  /** Records the size of the reply to a get of this number of keys. */
  note(answer: number, keys: number): void {
    const { answerBytes } = this;
    const bytes = keys === 1 ? answer : (answer / keys) | 0;
    // The usual case: small replies to a client that had only small ones.
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

  /** True if replies are known to be small. */
  get isSmall(): boolean {
    return this.isKnown && this.answerBytes <= SMALL_ANSWER_BYTES;
  }

  /**
   * Number of keys that a streamed get asks for in its first turn. The number doubles in each later turn, up to a
   * client's share.
   */
  get firstKeys(): number {
    if (this.isSmall) return MAX_KEYS_PER_ROUND;
    return this.sizes.areLarge ? FIRST_LARGE_KEYS : FIRST_KEYS;
  }

  /** Expected size of this number of replies. */
  expect(answers: number): number {
    return answers * this.answerBytes;
  }

  private get keysOfUnknown(): number {
    return this.sizes.areLarge ? MAX_UNKNOWN_LARGE_KEYS : MAX_UNKNOWN_KEYS;
  }
}
