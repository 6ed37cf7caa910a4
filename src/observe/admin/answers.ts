/** Replies of the admin server: the snapshot of all workers, and details from this process. */
import type { Clock } from "../../clock.ts";
import type { PoolPort } from "../../refresh/pool/pool-port.ts";
import type { RunningParts } from "../own-snapshot.ts";
import { type PrometheusFormat, prometheusText } from "../prometheus.ts";
import type { Workers } from "../siblings.ts";
import type { Details, Sample, SampledNumbers, Snapshot } from "../snapshot.ts";
import { Earlier } from "./earlier.ts";
import { explain, isRefused, type Line } from "./explain.ts";
import { explainNow } from "./explain-now.ts";
import { History } from "./history.ts";
import { pageNow } from "./page-state.ts";
import type { Readiness } from "./readiness.ts";
import type { AdminFacts } from "./server.ts";
import { shownConfig, withoutSecrets } from "./shown-config.ts";

/** Dependencies of the replies. */
export interface AdminSources {
  readonly clock: Clock;
  readonly running: () => RunningParts;
  readonly readiness: Readiness;
  /** The pool, as fills and refreshes see it. */
  readonly port: () => Pick<PoolPort, "read">;
  readonly workers: Workers;
  /** Numbers of this process. */
  readonly sampled: () => SampledNumbers;
}

/** Keeps the samples of the last hour, from `begin` until `stop`. */
export class AdminAnswers implements AdminFacts {
  private readonly sources: AdminSources;
  private readonly earlier = new Earlier<Snapshot>();
  private past: History | null = null;

  constructor(sources: AdminSources) {
    this.sources = sources;
  }

  begin(): void {
    const { clock, sampled } = this.sources;
    this.past ??= new History(clock, sampled);
  }

  stop(): void {
    this.past?.stop();
  }

  async metrics(format: PrometheusFormat): Promise<string> {
    return prometheusText(await this.snapshot(), format);
  }

  notReady(): Promise<string | null> {
    return this.sources.readiness.noneIsReady();
  }

  config(): unknown {
    return shownConfig(this.sources.running().config);
  }

  async history(): Promise<readonly Sample[]> {
    return (await this.snapshot({ hasHistory: true })).samples;
  }

  async now(): Promise<unknown> {
    const { clock, readiness, running } = this.sources;
    readiness.greetBackends();
    const now = await this.snapshot();
    const hasCommands = running().config.server.adminToken !== null;
    return pageNow(now, this.earlier.before(clock.nowMs(), now), hasCommands);
  }

  async tracked(rule: string): Promise<unknown> {
    return (await this.snapshot({ trackedKeysOf: rule })).trackedKeys;
  }

  /** The key as typed by a user. */
  async explain(typed: string): Promise<Line[]> {
    const { config, sources, rules } = this.sources.running();
    const key = Buffer.from(typed, "utf8").toString("latin1");
    const lines = explain(config, sources, key, rules);
    if (!isRefused(lines)) {
      const snapshot = await this.snapshot({ stateOfKey: key });
      const rule = rules.match(key)?.rule.config ?? null;
      lines.push(...(await explainNow(key, rule, config, this.sources.port(), snapshot)));
    }
    return lines.map(([name, text]) => [name, withoutSecrets(text, config)]);
  }

  /** Samples of this process: those of the last hour, or the latest. */
  samples(isHour: boolean): readonly Sample[] {
    if (isHour) return this.past?.all() ?? [];
    const last = this.past?.last() ?? null;
    return last === null ? [] : [last];
  }

  private snapshot(details: Details = {}): Promise<Snapshot> {
    return new Promise((resolve) => this.sources.workers.snapshot({ ...details, wantsReadiness: true }, resolve));
  }
}
