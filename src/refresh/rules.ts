/**
 * Key → rule, in file order: the first rule whose pattern matches the whole key covers it. Patterns see the key as it was
 * sent; captures are decoded behind them, where the rule says that Rails encoded the key.
 */
import type { RuleConfig } from "../config/config.ts";
import type { Captures, FetchResult } from "../sources/source.ts";
import { Pattern } from "./pattern.ts";
import { decodeRailsKey, isRailsDigest } from "./rails-key.ts";

/** Numbers of one rule since the start; they outlive a reload. */
export interface RuleCounters {
  fills: number;
  joined: number;
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
  refreshed: number;
  refreshFailed: number;
  dropped: number;
}

/** A rule, ready to be used. */
export interface Rule {
  readonly config: RuleConfig;
  readonly source: LimitedSource;
  readonly counters: RuleCounters;
}

/** A source behind its bounds. */
interface LimitedSource {
  readonly name: string;
  /** How long a fetch may take, its wait for a place included. */
  readonly timeoutMs: number;
  /** Throws a SourceError. */
  fetch(captures: Captures, priority: "fill" | "refresh"): Promise<FetchResult>;
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

/** Counters of a rule that is new. */
export function newRuleCounters(): RuleCounters {
  return {
    fills: 0,
    joined: 0,
    filled: 0,
    notThere: 0,
    failed: 0,
    observed: 0,
    timedOut: 0,
    overtaken: 0,
    held: 0,
    leasesTaken: 0,
    leasesAwaited: 0,
    refreshed: 0,
    refreshFailed: 0,
    dropped: 0,
  };
}
