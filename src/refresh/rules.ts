/**
 * Key → rule, in file order: the first rule whose pattern matches the whole key covers it. Patterns see the key as
 * sent; captures are decoded afterwards if the rule says that Rails encoded the key.
 */
import type { RuleConfig } from "../config/config.ts";
import type { SourceError } from "../errors.ts";
import type { Captures, FetchResult } from "../sources/source.ts";
import { Histogram } from "../telemetry/histogram.ts";
import { Pattern } from "./pattern.ts";
import { decodeRailsKey, isRailsDigest } from "./rails-key.ts";

/** Counters of one rule since the start; they outlive reloads. */
export interface RuleCounters {
  fills: number;
  joined: number;
  /** Clients' gets that got a value, by a fill or from memory. */
  answered: number;
  filled: number;
  notThere: number;
  failed: number;
  /** Misses without a fetch, because the last fetch of the key failed. */
  leftAlone: number;
  observed: number;
  /** Waiting clients that got a miss because the fetch took longer than `fill_timeout`. */
  timedOut: number;
  /** Fetches whose value a client's write had overtaken. */
  overtaken: number;
  held: number;
  /** Leases taken for a fill, and fills that waited for another process's lease. */
  leasesTaken: number;
  leasesAwaited: number;
  /** Untracked keys that are tracked after a hit. */
  pickedUp: number;
  /** Refreshes that were due; that wrote; that found the value unchanged; that failed; that had to wait. */
  due: number;
  refreshed: number;
  unchanged: number;
  refreshFailed: number;
  deferred: number;
  dropped: number;
}

/** Durations under a rule; they outlive reloads too. */
export interface RuleTimings {
  /** Fetches of fills and refreshes. */
  readonly fetch: Histogram;
  /** Delay of refreshes. */
  readonly lag: Histogram;
  /** Fetches in flight or waiting for their source. */
  inFlight: number;
}

/** A rule in use. */
export interface Rule {
  readonly config: RuleConfig;
  readonly source: LimitedSource;
  readonly counters: RuleCounters;
  readonly timings: RuleTimings;
}

/** A source with its limits. */
interface LimitedSource {
  readonly name: string;
  /** Timeout of a fetch, including its time in the queue (ms). */
  readonly timeoutMs: number;
  /**
   * Reserves a place for a fill of `key` until `endAdmission`. Returns the reason if there is no place, else `null`.
   */
  admitFill(key: string): SourceError | null;
  endAdmission(): void;
  /** Throws a SourceError. */
  fetch(captures: Captures, priority: "fill" | "refresh", tag: string | null): Promise<FetchResult>;
  /**
   * True if another refresh may start now: a backlog waits in the schedule instead of the source's queue. Then
   * `endRefresh` must be called when it has ended.
   */
  admitRefresh(): boolean;
  endRefresh(): void;
}

/** A rule that covers a key, and the captures of its pattern. */
export interface Match {
  readonly rule: Rule;
  readonly captures: Captures;
}

/** The rules of a configuration. */
export class Rules {
  readonly list: readonly Rule[];
  /** False if no rule shares its fetches with other processes. */
  readonly hasLeases: boolean;
  private readonly patterns: readonly Pattern[];
  /** Bytes to strip, one character each. */
  private readonly prefixes: readonly string[];

  constructor(list: readonly Rule[]) {
    this.list = list;
    this.hasLeases = list.some(({ config }) => config.lease === "fleet" && config.mode !== "off");
    this.patterns = list.map(({ config }) => new Pattern(config.match));
    this.prefixes = list.map(({ config }) => Buffer.from(config.stripPrefix, "utf8").toString("latin1"));
  }

  /**
   * The rule that covers `key` (one character per byte). `null` if no rule covers it. Rules that are off are skipped.
   * If the first matching rule is for Rails keys, a key that ends in a digest is not covered: no source knows it.
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

/** True if `now`, of a later configuration, fetches from the source of `old` in the same way. */
export function isSameOrigin(old: Rule, now: Rule): boolean {
  return old === now || (old.source === now.source && JSON.stringify(old.config) === JSON.stringify(now.config));
}

/** Timings of a new rule. */
export function newRuleTimings(): RuleTimings {
  return { fetch: new Histogram(), lag: new Histogram(), inFlight: 0 };
}

/** Counters of a new rule. */
export function newRuleCounters(): RuleCounters {
  return {
    fills: 0,
    joined: 0,
    answered: 0,
    filled: 0,
    notThere: 0,
    failed: 0,
    leftAlone: 0,
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
