/**
 * Routes that send each key to all of their children, and join the replies key by key.
 *
 *     get a b ─┬─► child 0 ─ a, no b ─┐
 *              └─► child 1 ─ a, b ────┴─► for each key, the reply that `ReplyJoiner` chooses
 *
 * A get of many keys goes to each child as one get of these keys, whose replies arrive in parts. Each key is decided as
 * soon as its replies allow it: a slow server of one child delays only the keys that need it.
 */
import type { Result } from "../../config/results.ts";
import type { Reply } from "../reply.ts";
import { KeyList, type ReplyOwner, type Request } from "../request.ts";
import type { KeyWatcher } from "./multi-get.ts";
import { resultOf } from "./result.ts";
import type { Route } from "./route.ts";
import { sendToAll } from "./send-to-all.ts";

/**
 * What a reply means for its key: nothing ("wait"), the best one so far ("keep"), the answer ("reply"), or that the best
 * one so far is the answer ("kept").
 */
export type Choice = "wait" | "keep" | "reply" | "kept";

/** Chooses the reply to each of several keys. */
export interface ReplyJoiner {
  /**
   * A child's reply to key `index` has `result`. `left` replies to this key are due. The last one must be the answer, or
   * confirm the best one. Not called for a key after its answer.
   */
  take(index: number, result: Result, left: number): Choice;
}

export interface FanOut {
  /** At least one. */
  readonly children: readonly Route[];
  /** A new joiner for this number of keys. */
  joiner(keys: number): ReplyJoiner;
}

/** Sends one request to all children. */
export function sendJoined(request: Request, { children, joiner }: FanOut): void {
  sendToAll(request, children, new JoinedReply(request, joiner(1), children.length));
}

class JoinedReply implements ReplyOwner {
  private readonly request: Request;
  private readonly joiner: ReplyJoiner;
  private due: number;
  private kept: Reply | null = null;
  private isDone = false;

  constructor(request: Request, joiner: ReplyJoiner, due: number) {
    this.request = request;
    this.joiner = joiner;
    this.due = due;
  }

  onReply(_copy: Request, reply: Reply): void {
    this.due--;
    if (this.isDone) return;
    const choice = this.joiner.take(0, resultOf(this.request, reply), this.due);
    if (choice === "keep") this.kept = reply.copy();
    this.isDone = choice === "reply" || choice === "kept";
    if (this.isDone) this.request.complete(choice === "reply" ? reply : this.kept!);
  }
}

/** The get that a fan belongs to. Indexes are those of the fan's keys. */
export interface FanOwner {
  /** The values are in `fan.keys`, and do not change any more. */
  fanFound(fan: Fan, indexes: readonly number[]): void;
  /** `reply` is a miss or a failure of each of these keys. */
  fanNotFound(fan: Fan, indexes: readonly number[], reply: Reply): void;
  /** All keys have been answered. */
  fanEnded(): void;
}

/** Marks a key whose best reply so far is a value, which is in `Fan.keys`. */
const VALUE = Symbol("value");

/** Keys of one get that go to the same children. */
export class Fan {
  readonly fanOut: FanOut;
  /** The outermost first. */
  readonly watchers: readonly KeyWatcher[];
  /** Indexes of the fan's keys in the get. */
  readonly indexes: number[] = [];
  /** The keys, with the values that are the best replies so far. */
  keys!: KeyList;
  private readonly owner: FanOwner;
  private joiner!: ReplyJoiner;
  private left!: number[];
  private kept!: (Reply | typeof VALUE | null)[];
  /** Number of keys without an answer. */
  private open = 0;

  constructor(owner: FanOwner, fanOut: FanOut, watchers: readonly KeyWatcher[]) {
    this.owner = owner;
    this.fanOut = fanOut;
    this.watchers = watchers;
  }

  /** Takes the keys at `indexes` out of `all`. Call once, before the first branch. */
  begin(all: KeyList): void {
    const { indexes, fanOut } = this;
    const starts = indexes.map((index) => all.starts[index]!);
    const ends = indexes.map((index) => all.ends[index]!);
    this.keys = new KeyList(all.bytes, starts, ends);
    this.joiner = fanOut.joiner(indexes.length);
    this.left = new Array<number>(indexes.length).fill(fanOut.children.length);
    this.kept = new Array<Reply | null>(indexes.length).fill(null);
    this.open = indexes.length;
  }

  /** The keys for one child. */
  branch(): KeyList {
    return new KeyList(this.keys.bytes, this.keys.starts, this.keys.ends);
  }

  /** A child has the values of `indexes`. Their blocks are in `found`, those of `reply` only during this call. */
  found(found: KeyList, indexes: readonly number[], reply: Reply): void {
    const decided: number[] = [];
    let copy: Reply | null = null;
    for (const index of indexes) {
      const choice = this.choose(index, "found");
      if (choice === "keep" || choice === "reply") {
        const block = found.blocks[index]!;
        const isInReply = block === reply.chunk;
        if (isInReply) copy ??= reply.copy();
        const shift = isInReply ? copy!.start - reply.start : 0;
        this.keys.blocks[index] = isInReply ? copy!.chunk : block;
        this.keys.blockStarts[index] = found.blockStarts[index]! + shift;
        this.keys.blockEnds[index] = found.blockEnds[index]! + shift;
        this.kept[index] = VALUE;
      }
      if (choice === "reply" || choice === "kept") decided.push(index);
    }
    this.decide(decided);
  }

  /** A child's reply to each of `indexes` is `reply`, a miss or a failure with this result. */
  notFound(indexes: readonly number[], reply: Reply, result: Result): void {
    const decided: number[] = [];
    let copy: Reply | null = null;
    for (const index of indexes) {
      const choice = this.choose(index, result);
      if (choice === "keep" || choice === "reply") {
        copy ??= reply.copy();
        this.kept[index] = copy;
      }
      if (choice === "reply" || choice === "kept") decided.push(index);
    }
    this.decide(decided);
  }

  private choose(index: number, result: Result): Choice {
    const left = --this.left[index]!;
    if (left < 0) return "wait";
    const choice = this.joiner.take(index, result, left);
    // Later replies to the key do not count.
    if (choice === "reply" || choice === "kept") this.left[index] = 0;
    return choice;
  }

  /** Answers keys with their best replies. */
  private decide(indexes: readonly number[]): void {
    if (indexes.length === 0) return;
    const { kept, owner } = this;
    const found = indexes.filter((index) => kept[index] === VALUE);
    if (found.length > 0) owner.fanFound(this, found);
    const others = new Set(indexes.map((index) => kept[index]!));
    others.delete(VALUE);
    for (const reply of others) {
      const same = indexes.filter((index) => kept[index] === reply);
      owner.fanNotFound(this, same, reply as Reply);
    }
    this.open -= indexes.length;
    if (this.open === 0) owner.fanEnded();
  }
}
