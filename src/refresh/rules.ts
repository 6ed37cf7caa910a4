/**
 * Key → rule, in file order: the first rule whose pattern matches the whole key covers it. Patterns see the key as it was
 * sent; captures are decoded behind them, where the rule says that Rails encoded the key.
 */
import type { RuleConfig } from "../config/config.ts";
import type { SourceError } from "../errors.ts";
import type { Captures, FetchResult } from "../sources/source.ts";
import { Histogram } from "../telemetry/histogram.ts";
import { Pattern } from "./pattern.ts";
import { decodeRailsKey, isRailsDigest } from "./rails-key.ts";

/** Numbers of one rule since the start; they outlive a reload. */
export interface RuleCounters {
  fills: number;
  joined: number;
  /** Clients' gets that were given a value, by a fill or a held one. */
  answered: number;
  filled: number;
  notThere: number;
  failed: number;
  observed: number;
  /** Waiters that got a miss because the fetch took longer than `fill_timeout`. */
  timedOut: number;
  /** Fetches whose value a client's write had overtaken. */
  overtaken: number;
  held: number;
  /** Leases won for a fill, and fills that waited for another process' instead. */
  leasesTaken: number;
  leasesAwaited: number;
  /** Keys of which a hit showed that nobody here was tracking them. */
  pickedUp: number;
  /** Refreshes that came due, those that wrote, those that found the same, that failed, that had to wait. */
  due: number;
  refreshed: number;
  unchanged: number;
  refreshFailed: number;
  deferred: number;
  dropped: number;
}

/** How long things take under a rule; they outlive a reload too. */
export interface RuleTimings {
  /** Fetches, fills and refreshes together. */
  readonly fetch: Histogram;
  /** By how much refreshes begin later than they should. */
  readonly lag: Histogram;
  /** Fetches under way or waiting for their source. */
  inFlight: number;
}

/** A rule, ready to be used. */
export interface Rule {
  readonly config: RuleConfig;
  readonly source: LimitedSource;
  readonly counters: RuleCounters;
  readonly timings: RuleTimings;
}

/** A source behind its bounds. */
interface LimitedSource {
  readonly name: string;
  /** How long a fetch may take, its wait for a place included. */
  readonly timeoutMs: number;
  /** Keeps a place for a fill of `key` until `endAdmission`. Returns why there is none, `null` if there is one. */
  admitFill(key: string): SourceError | null;
  endAdmission(): void;
  /** Throws a SourceError. */
  fetch(captures: Captures, priority: "fill" | "refresh", tag: string | null): Promise<FetchResult>;
  /** Whether another refresh may be begun now: a backlog waits in the schedule rather than in the source's queue. */
  readonly hasRoomForRefresh: boolean;
}

/** A rule that covers a key, and what its pattern took out of it. */
export interface Match {
  readonly rule: Rule;
  readonly captures: Captures;
}

/** The rules of a configuration. */
export class Rules {
  readonly list: readonly Rule[];
  /** False: no rule shares its fetches with other processes. */
  readonly hasLeases: boolean;
  private readonly patterns: readonly Pattern[];
  /** Bytes to be stripped, one character each. */
  private readonly prefixes: readonly string[];

  constructor(list: readonly Rule[]) {
    this.list = list;
    this.hasLeases = list.some(({ config }) => config.lease === "fleet" && config.mode !== "off");
    this.patterns = list.map(({ config }) => new Pattern(config.match));
    this.prefixes = list.map(({ config }) => Buffer.from(config.stripPrefix, "utf8").toString("latin1"));
  }

  /**
   * The rule that covers `key` (one character per byte); null: none. Rules that are off are passed over. Where the first
   * that matches is one for keys of Rails, a key with a digest for its end is covered by none: no source knows it.
   */
  match(key: string): Match | null {
    for (let i = 0; i < this.list.length; i++) {
      const match = this.matchOne(i, key);
      if (match === null) continue;
      if (match.rule.config.keyEncoding === "plain") return match;
      return isRailsDigest(key) ? null : { rule: match.rule, captures: decodeRailsKey(match.captures) };
    }
    return null;
  }

  private matchOne(index: number, key: string): Match | null {
    const rule = this.list[index]!;
    const prefix = this.prefixes[index]!;
    if (rule.config.mode === "off" || !key.startsWith(prefix)) return null;
    const captures = this.patterns[index]!.match(prefix === "" ? key : key.slice(prefix.length));
    return captures === null ? null : { rule, captures };
  }
}

/** Whether `now`, of a later configuration, fetches what `old` does, in the same way. */
export function isSameOrigin(old: Rule, now: Rule): boolean {
  return old === now || (old.source === now.source && JSON.stringify(old.config) === JSON.stringify(now.config));
}

/** Timings of a rule that is new. */
export function newRuleTimings(): RuleTimings {
  return { fetch: new Histogram(), lag: new Histogram(), inFlight: 0 };
}

/** Counters of a rule that is new. */
export function newRuleCounters(): RuleCounters {
  return {
    fills: 0,
    joined: 0,
    answered: 0,
    filled: 0,
    notThere: 0,
    failed: 0,
    observed: 0,
    timedOut: 0,
    overtaken: 0,
    held: 0,
    leasesTaken: 0,
    leasesAwaited: 0,
    pickedUp: 0,
    due: 0,
    refreshed: 0,
    unchanged: 0,
    refreshFailed: 0,
    deferred: 0,
    dropped: 0,
  };
}
