/**
 * What the admin server tells: of all workers, and what this one adds to that.
 */
import type { Clock } from "../../clock.ts";
import { addressText, type ListenAddress } from "../../config/config.ts";
import type { ReloadState } from "../../config/reload-state.ts";
import type { Scheduler, TrackedKey } from "../../refresh/scheduler.ts";
import { type MetricValues, mergeMetrics } from "../metric-values.ts";
import type { ProcessFacts } from "../own-snapshot.ts";
import { prometheusText } from "../prometheus.ts";
import { RecentQuantiles } from "../recent-quantiles.ts";
import { limitersOf, type RunningParts } from "../running-parts.ts";
import type { Workers } from "../siblings.ts";
import { explain, type Line } from "./explain.ts";
import { History, mergeSamples, type Sample } from "./history.ts";
import { mostNeededOf, nowOf, type PageNow, pageState } from "./page-state.ts";
import type { Readiness } from "./readiness.ts";
import type { AdminFacts } from "./server.ts";
import { shownConfig, withoutSecrets } from "./shown-config.ts";

/** Tracked keys of a rule that the admin page lists. */
const TRACKED_SHOWN = 20;

/** Where the answers come from. */
export interface AdminSources {
  readonly clock: Clock;
  readonly running: () => RunningParts;
  readonly facts: ProcessFacts;
  readonly reloads: ReloadState;
  readonly readiness: Readiness;
  readonly scheduler: Scheduler;
  readonly workers: Workers;
  /** Where clients are listened for, with the real ports. */
  readonly addresses: () => readonly ListenAddress[];
}

/** Remembers the last hour from `begin` until `stop`. */
export class AdminAnswers implements AdminFacts {
  private readonly sources: AdminSources;
  private readonly recent = new RecentQuantiles();
  private past: History | null = null;

  constructor(sources: AdminSources) {
    this.sources = sources;
  }

  begin(): void {
    const { clock, running, facts } = this.sources;
    this.past ??= new History(clock, () => ({
      clients: facts.clients,
      rules: running().rules.list,
      sources: limitersOf(running()),
    }));
  }

  stop(): void {
    this.past?.stop();
  }

  async metrics(): Promise<string> {
    const all = await this.sources.workers.ask<MetricValues>({ kind: "metrics" });
    return prometheusText(mergeMetrics(all));
  }

  notReady(): Promise<string | null> {
    return this.sources.readiness.noneIsReady();
  }

  config(): unknown {
    return shownConfig(this.sources.running().config);
  }

  async history(): Promise<Sample[]> {
    return mergeSamples(await this.sources.workers.ask<Sample[]>({ kind: "history" }));
  }

  async now(): Promise<PageNow> {
    const { readiness, workers } = this.sources;
    readiness.greetBackends();
    return nowOf(await workers.ask<PageNow>({ kind: "page" }));
  }

  async tracked(rule: string): Promise<TrackedKey[]> {
    return mostNeededOf(await this.sources.workers.ask<TrackedKey[]>({ kind: "tracked", rule }));
  }

  /** The key as a person has typed it. */
  explain(key: string): Line[] {
    const { config, sources, rules } = this.sources.running();
    const lines = explain(config, sources, Buffer.from(key, "utf8").toString("latin1"), rules);
    return lines.map(([name, text]) => [name, withoutSecrets(text, config)]);
  }

  /** What this worker adds to `history`. */
  ownHistory(): Sample[] {
    return this.past?.all() ?? [];
  }

  /** What this worker adds to `now`. */
  ownNow(): PageNow {
    const { clock, running, facts, reloads, readiness, addresses } = this.sources;
    const state = pageState({
      config: running().config,
      metrics: facts.metrics(),
      listen: addresses().map(addressText),
      notReady: readiness.notReady(),
      reloadError: reloads.error,
      recent: this.recent,
      nowMs: clock.nowMs(),
    });
    return { sample: this.past?.last() ?? null, state };
  }

  /** What this worker adds to `tracked`: without names, where those are nobody's business. */
  ownTracked(rule: string): TrackedKey[] {
    const { running, scheduler } = this.sources;
    const keys = scheduler.mostNeeded(rule, TRACKED_SHOWN);
    return running().config.telemetry.keys === "full" ? keys : keys.map((each) => ({ ...each, key: "" }));
  }
}
