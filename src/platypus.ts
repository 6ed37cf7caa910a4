/**
 * The composition root: the only file that knows every layer. Builds them from a configuration, joins them, replaces
 * what a new configuration changes, drains and stops.
 */
import { explain, type Line } from "./admin/explain.ts";
import { History, mergeSamples, type Sample } from "./admin/history.ts";
import { mostNeededOf, nowOf, type PageNow, pageState } from "./admin/page-state.ts";
import type { AdminFacts, AdminServer } from "./admin/server.ts";
import { shownConfig, withoutSecrets } from "./admin/shown-config.ts";
import { type Clock, systemClock } from "./clock.ts";
import { addressText, type Config, type ListenAddress } from "./config/config.ts";
import { answerAdmin } from "./mcrouter/admin.ts";
import { AsyncLog } from "./mcrouter/async-log.ts";
import { hostId } from "./mcrouter/host-id.ts";
import { RateWindow } from "./mcrouter/rate-window.ts";
import { mcrouterStatLines, poolStats, totalsOf } from "./mcrouter/stats.ts";
import { StatsFiles } from "./mcrouter/stats-files.ts";
import {
  type ClientContext,
  type ClientCounters,
  countersSince,
  newClientCounters,
} from "./proxy/client/connection.ts";
import { Listener } from "./proxy/client/listener.ts";
import { LocalCommands, type StatLine } from "./proxy/client/local-commands.ts";
import { newRouteCounters, TreeBuilder } from "./proxy/route/build.ts";
import { FillRoute } from "./proxy/route/fill-route.ts";
import type { KeyedBackend } from "./proxy/route/keyed-backend.ts";
import { plainPoolOf } from "./proxy/route/plain-pool.ts";
import { RoutedPoolPort } from "./proxy/route/pool-port.ts";
import { type BuiltPools, buildPools, closeUnused, noPools } from "./proxy/route/pools.ts";
import { RootRoute } from "./proxy/route/root-route.ts";
import type { Root } from "./proxy/route/route.ts";
import { askServers, type ServerStats } from "./proxy/route/server-stats.ts";
import { SidecarRoute } from "./proxy/route/sidecar-route.ts";
import { TreePoolPort } from "./proxy/route/tree-pool-port.ts";
import { EmbeddedPoolPort } from "./proxy/store/embedded-pool-port.ts";
import { EmbeddedRoute } from "./proxy/store/embedded-route.ts";
import { ItemStore } from "./proxy/store/item-store.ts";
import { BinaryParser } from "./proxy/wire/binary-parser.ts";
import { ClassicParser } from "./proxy/wire/classic-parser.ts";
import { Turn } from "./proxy/wire/turn.ts";
import { Filler } from "./refresh/filler.ts";
import type { PoolPort } from "./refresh/pool-port.ts";
import { newRuleCounters, newRuleTimings, type Rule, Rules } from "./refresh/rules.ts";
import { Scheduler, type TrackedKey } from "./refresh/scheduler.ts";
import { type BuiltSource, buildSources } from "./sources/build.ts";
import type { Limiter } from "./sources/limiter.ts";
import { BurstLog } from "./telemetry/burst-log.ts";
import type { MetricFacts, PoolBackend } from "./telemetry/counters.ts";
import { Log, type LogFields } from "./telemetry/log.ts";
import { type MetricValues, mergeMetrics, readMetrics } from "./telemetry/metric-values.ts";
import type { OpenTelemetry } from "./telemetry/opentelemetry.ts";
import { ProcessMonitor } from "./telemetry/process-monitor.ts";
import { prometheusText } from "./telemetry/prometheus.ts";
import { RecentQuantiles } from "./telemetry/recent-quantiles.ts";
import { isOfServers, statLines } from "./telemetry/stats.ts";
import type { Span, Tracer } from "./telemetry/tracing.ts";
import { mergeWorkers } from "./telemetry/worker-stats.ts";
import { packageVersion } from "./version.ts";
import type { Question } from "./workers/messages.ts";

/** What clients are told to be talking to while no server has said what it is. */
const MEMCACHED_VERSION = "1.6.45";
const DRAIN_POLL_MS = 10;
/** So long a drain waits for the first command of a client that has only just connected. */
const FIRST_COMMAND_MS = 1_000;
/** Tracked keys of a rule that the admin page lists. */
const TRACKED_SHOWN = 20;

/** What a process may hand in instead of the machine's own. */
export interface PlatypusOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly log?: Log;
  /** The other workers of this address; null: there are none. */
  readonly siblings?: Siblings | null;
}

/** The workers that share our sockets, this one included. */
export interface Siblings {
  /** Listening sockets that were handed over, by the text of their addresses. */
  readonly sockets: ReadonlyMap<string, unknown>;
  /** What all answer to a question, as far as they do in time. Calls `done` once. */
  ask(question: Question, done: (values: readonly unknown[]) => void): void;
  onQuestion(answer: (question: Question) => unknown): void;
  /** Calls `run` when a successor of this process serves, just before it is told to stop. */
  onReplaced(run: () => void): void;
}

/** Everything that a configuration decides and a reload replaces. */
interface Running {
  readonly config: Config;
  readonly pools: BuiltPools;
  readonly sources: ReadonlyMap<string, BuiltSource>;
  readonly rules: Rules;
  /** What the pool is asked through, below the fills. */
  readonly leaf: Root;
  readonly port: PoolPort;
}

/** A running Platypus. */
export class Platypus {
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly log: Log;
  private readonly bursts: BurstLog;
  private readonly turn: Turn;
  private readonly context: ClientContext;
  private readonly filler: Filler;
  private readonly scheduler: Scheduler;
  private readonly store: ItemStore;
  private readonly hostId = hostId();
  private readonly routeCounters = newRouteCounters();
  private readonly spool: AsyncLog;
  private readonly siblings: Siblings | null;
  private readonly startedUnixSeconds: number;
  private listeners: Listener[] = [];
  /** Of pools that are served alone, by name. */
  private readonly poolListeners = new Map<string, { context: ClientContext; listener: Listener }[]>();
  private running: Running;
  private configuredMs: number;
  private reloadError: string | null = null;
  private admin: AdminServer | null = null;
  private openTelemetry: OpenTelemetry | null = null;
  /** The last start or restart of `openTelemetry`. */
  private telemetryChange: Promise<void> = Promise.resolve();
  private monitor: ProcessMonitor | null = null;
  /** For the admin page. */
  private history: History | null = null;
  private readonly recent = new RecentQuantiles();
  /** What clients did before `stats reset`. */
  private statsBase: ClientCounters = newClientCounters();
  private isDraining = false;
  private hasConnected = false;
  private configFailures = 0;
  private configAttemptUnixSeconds: number;
  /** Of a mcrouter configuration: what its stats need. */
  private rates: RateWindow | null = null;
  private statsFiles: StatsFiles | null = null;
  /** Settled when the admin server has answered everybody; at once where it has not been told to leave. */
  private left: Promise<void> = Promise.resolve();

  private constructor(config: Config, options: PlatypusOptions) {
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? Math.random;
    this.siblings = options.siblings ?? null;
    this.siblings?.onQuestion((question) => this.answerSibling(question));
    // From then on the others answer there: that this one drains is not the state of all.
    this.siblings?.onReplaced(() => {
      this.left = this.admin?.leave() ?? this.left;
    });
    this.log = options.log ?? new Log(config.server.log);
    this.bursts = new BurstLog(this.log, this.clock);
    this.turn = new Turn(() => this.clock.nowMs());
    this.startedUnixSeconds = this.clock.unixSeconds();
    this.configuredMs = this.clock.nowMs();
    this.configAttemptUnixSeconds = this.startedUnixSeconds;
    const { embeddedBytes, maxValueBytes } = config.server;
    // An item is as large as memcached takes with -I max_value.
    this.store = new ItemStore(embeddedBytes, maxValueBytes, () => this.clock.unixSeconds());
    this.spool = new AsyncLog({
      root: config.mcrouter?.asyncLogRoot ?? null,
      serviceName: config.mcrouter?.serviceName ?? "",
      routerName: config.mcrouter?.routerName ?? "",
      clock: this.clock,
      failed: (error) => this.bursts.say("error", "asynclog", "write", `a delete was not kept: ${String(error)}`),
    });
    this.running = this.build(config, null);
    const shared = { clock: this.clock, log: this.fillLog(), port: this.running.port, rules: this.running.rules };
    const tracer = () => this.openTelemetry?.tracer ?? null;
    this.scheduler = new Scheduler({ ...shared, random: this.random, bounds: config.server, tracer });
    this.filler = new Filler({ ...shared, events: this.scheduler, holdBytes: config.server.holdBytes });
    this.context = {
      root: this.rootOf(this.running),
      limits: config.server,
      parser: new ClassicParser(() => this.running.config.server),
      binaryParser: new BinaryParser(() => this.running.config.server),
      turn: this.turn,
      local: new LocalCommands({
        version: () => this.memcachedVersion(),
        stats: (group, done) => this.tellStats(group, done),
        resetStats: () => {
          if (this.siblings === null) this.resetStats();
          else this.siblings.ask({ kind: "resetStats" }, () => {});
        },
      }),
      counters: newClientCounters(),
      tracer: null,
      fault: (error) => this.bursts.say("error", "client", error.message, `a connection was closed: ${error.stack}`),
    };
  }

  /** Starts to listen with `config`. Throws a PlatypusError when an address cannot be had; then nothing is left running. */
  static async start(config: Config, options: PlatypusOptions = {}): Promise<Platypus> {
    const platypus = new Platypus(config, options);
    try {
      for (const address of config.server.listen) await platypus.listen(address, platypus.context);
      for (const { name, listen } of config.pools) {
        const root = platypus.running.pools.routes.get(name);
        for (const address of root === undefined ? [] : listen) {
          const context = { ...platypus.context, root: root! };
          const listener = await platypus.listen(address, context);
          const others = platypus.poolListeners.get(name) ?? [];
          platypus.poolListeners.set(name, [...others, { context, listener }]);
        }
      }
      await platypus.openAdmin(config);
      await platypus.startTelemetry(config);
    } catch (error) {
      await platypus.close();
      throw error;
    }
    platypus.beginMcrouterStats();
    return platypus;
  }

  /** Where the admin server listens, with the real port; null: there is none. */
  get adminAddress(): ListenAddress | null {
    return this.admin?.address ?? null;
  }

  /** Where it listens, with the real ports. */
  get addresses(): readonly ListenAddress[] {
    return this.listeners.map(({ address }) => address);
  }

  /**
   * Goes on with `config`: connections and requests under way stay, what is unchanged lives on. Settings that need a
   * restart keep their value and are named in the log.
   */
  reload(config: Config): void {
    const previous = this.running;
    this.warnOfRestart(previous.config, config);
    const next = this.build(config, previous);
    this.running = next;
    this.log.configure(config.server.log);
    this.filler.replace(next.rules, next.port, config.server.holdBytes);
    this.scheduler.replace(next.rules, next.port, config.server);
    this.context.root = this.rootOf(next);
    this.context.limits = config.server;
    this.replacePoolRoots(next);
    this.configuredMs = this.clock.nowMs();
    this.configAttemptUnixSeconds = this.clock.unixSeconds();
    this.reloadError = null;
    if (config.server.tls !== null) for (const listener of this.listeners) listener.renew(config.server.tls);
    closeUnused(previous.pools, next.pools);
    this.replaceTelemetry(previous.config, config);
    for (const [name, { source, limiter }] of previous.sources) {
      if (next.sources.get(name)?.source === source) continue;
      limiter.retire().catch((error: unknown) => this.log.warn("source", `${name}: not closed: ${String(error)}`));
    }
  }

  /** Says in `stats` that a configuration was refused; the one before goes on serving. */
  refuseReload(message: string): void {
    this.configFailures++;
    this.configAttemptUnixSeconds = this.clock.unixSeconds();
    this.reloadError = message;
  }

  /**
   * Stops accepting, answers everything that was read, and closes each client when it is done; cuts off those that are
   * still there after the drain time-out. Then as `close`.
   */
  async drain(): Promise<void> {
    this.isDraining = true;
    this.scheduler.stop();
    this.drainListeners(this.listeners);
    const endMs = this.clock.nowMs() + this.running.config.server.drainTimeoutMs;
    // Fetches under way are waited for too: the leases they hold would keep other processes from fetching.
    const isBusy = () =>
      this.filler.inFlight + this.scheduler.inFlight > 0 || this.listeners.some(({ clientCount }) => clientCount > 0);
    while (isBusy() && this.clock.nowMs() < endMs) {
      await new Promise<void>((resolve) => this.clock.setTimer(DRAIN_POLL_MS, resolve));
    }
    // Of those who asked the admin server before it left one may still wait for its answer.
    await Promise.race([this.left, new Promise<void>((resolve) => this.clock.setTimer(FIRST_COMMAND_MS, resolve))]);
    await this.close();
  }

  /** Closes everything at once. */
  async close(): Promise<void> {
    this.scheduler.stop();
    for (const listener of this.listeners) listener.close();
    for (const backend of this.running.pools.backends.values()) backend.close();
    this.rates?.stop();
    this.monitor?.stop();
    this.history?.stop();
    await Promise.all([
      this.admin?.close(),
      this.telemetryChange.then(() => this.openTelemetry?.stop()),
      this.statsFiles?.close(),
      this.spool.close(),
      ...[...this.running.sources.values()].map(({ source }) => source.close()),
    ]);
  }

  private async listen(address: ListenAddress, context: ClientContext): Promise<Listener> {
    const maxConnections = () => this.running.config.server.maxConnections;
    const { evictsIdle, backlog, tls } = this.running.config.server;
    const socket = this.siblings?.sockets.get(addressText(address));
    const options = { maxConnections, evictsIdle, backlog, tls, ...(socket !== undefined && { socket }) };
    const listener = await Listener.open(address, context, options);
    this.listeners.push(listener);
    return listener;
  }

  private drainListeners(listeners: readonly Listener[]): void {
    for (const listener of listeners) listener.drain();
    this.clock.setTimer(FIRST_COMMAND_MS, () => {
      for (const listener of listeners) listener.finish();
    });
  }

  /** Pools that are served alone go on with their new servers; one that is gone is not served any more. */
  private replacePoolRoots({ pools, config }: Running): void {
    for (const [name, listeners] of this.poolListeners) {
      const root = pools.routes.get(name);
      for (const { context, listener } of listeners) {
        if (root === undefined) {
          this.drainListeners([listener]);
          this.log.warn("config", `pool ${name} is gone: ${addressText(listener.address)} takes no more clients`);
        } else {
          context.root = root;
          context.limits = config.server;
        }
      }
      if (root === undefined) this.poolListeners.delete(name);
    }
  }

  private build(config: Config, previous: Running | null): Running {
    const context = { clock: this.clock, turn: this.turn, log: this.log, random: this.random };
    const pools = buildPools(config, previous?.pools ?? noPools, context);
    const sources = buildSources(config.sources, previous?.sources ?? new Map(), this.clock);
    for (const { source } of sources.values()) source.onChanged = (key) => this.scheduler.changed(key);
    const before = new Map(previous?.rules.list.map((rule) => [rule.config.name, rule]));
    const rules = new Rules(
      config.rules.map((rule): Rule => {
        const source = sources.get(rule.source)!.limiter;
        const { counters = newRuleCounters(), timings = newRuleTimings() } = before.get(rule.name) ?? {};
        return { config: rule, source, counters, timings };
      }),
    );
    const { leaf, port } = this.buildRoutes(config, pools);
    const isSamePool =
      previous !== null &&
      config.tree === null &&
      JSON.stringify([previous.config.pools, previous.config.server.prefix]) ===
        JSON.stringify([config.pools, config.server.prefix]);
    // Its backends are the same ones: what was learned through it holds.
    return { config, pools, sources, rules, leaf, port: isSamePool ? previous.port : port };
  }

  /** What clients' commands go through below the fills, and what fills and refreshes ask. */
  private buildRoutes(config: Config, pools: BuiltPools): { leaf: Root; port: PoolPort } {
    const { prefix } = config.server;
    const { tree, mcrouter } = config;
    if (tree === null) {
      const pool = pools.routes.values().next().value;
      if (pool === undefined) return { leaf: new EmbeddedRoute(this.store), port: new EmbeddedPoolPort(this.store) };
      return { leaf: pool, port: new RoutedPoolPort(pool, prefix) };
    }
    const builder = new TreeBuilder({
      clock: this.clock,
      random: this.random,
      hostId: this.hostId,
      counters: this.routeCounters,
      log: (line) => this.log.debug("route", line),
      spool: this.spool,
      pools: pools.routes,
    });
    const routes = new Map([...tree.routes].map(([name, node]) => [name, builder.build(node)] as const));
    const answerAdmin = (command: string) => this.answerAdmin(command);
    const all = [...pools.routes.values()];
    const root = new RootRoute(routes, tree.defaultPrefix, all, mcrouter!.root, answerAdmin, this.clock);
    const pool = plainPoolOf(routes.get(tree.defaultPrefix)!);
    return { leaf: root, port: new TreePoolPort(root, pool === null ? null : new RoutedPoolPort(pool, prefix)) };
  }

  /** Without rules the fast path: straight to the pool. But fetches under way still have to hear of clients' writes. */
  private rootOf(running: Running): Root {
    const isPlain = running.rules.list.length === 0 && this.filler.inFlight === 0;
    if (isPlain) return running.leaf;
    const fills = new FillRoute(running.leaf, this.filler, this.clock);
    return running.config.server.mode === "sidecar" ? new SidecarRoute(fills, this.filler) : fills;
  }

  private fillLog() {
    return {
      sourceFailed: (rule: Rule, error: unknown, span: Span | null = null) => {
        const code = error instanceof Error && "code" in error ? String(error.code) : "unexpected";
        const text = error instanceof Error ? error.message : String(error);
        this.bursts.say(
          "warn",
          "source",
          `${rule.config.name} ${code}`,
          `rule ${rule.config.name}: ${text}`,
          idsOf(span),
        );
      },
      poolFailed: (rule: Rule, error: unknown, span: Span | null = null) => {
        const text = error instanceof Error ? error.message : String(error);
        this.bursts.say(
          "warn",
          "pool",
          `${rule.config.name} pool`,
          `rule ${rule.config.name}: not stored: ${text}`,
          idsOf(span),
        );
      },
      observed: (rule: Rule) => {
        const { name, source } = rule.config;
        this.bursts.say(
          "info",
          "rule",
          `${name} observed`,
          `rule ${name}: would fetch from ${source} (mode = "observe")`,
        );
      },
    };
  }

  private warnOfRestart(old: Config, next: Config): void {
    const listens = ({ server, pools }: Config) => {
      const ofPools = pools.flatMap(({ name, listen }) => listen.map((address) => `${name} ${addressText(address)}`));
      return [...server.listen.map(addressText), ...ofPools].join(", ");
    };
    const adminOf = ({ server }: Config) => (server.admin === null ? "off" : addressText(server.admin.address));
    if (adminOf(old) !== adminOf(next)) this.log.warn("config", "admin needs a restart; the old address stays");
    if (listens(old) !== listens(next)) this.log.warn("config", "listen needs a restart; the old addresses stay");
    if (old.server.embeddedBytes !== next.server.embeddedBytes) {
      this.log.warn("config", "embedded_size needs a restart; the old value stays");
    }
  }

  /** The lowest version among the servers that have said theirs. */
  private memcachedVersion(): string {
    const versions = [...this.running.pools.backends.values()].flatMap(({ version }) => version ?? []);
    const numbers = (version: string) => version.split(".").map((part) => Number.parseInt(part, 10) || 0);
    versions.sort((a, b) => {
      const [left, right] = [numbers(a), numbers(b)];
      const at = left.findIndex((number, i) => number !== (right[i] ?? 0));
      return at < 0 ? 0 : left[at]! - (right[at] ?? 0);
    });
    return versions[0] ?? MEMCACHED_VERSION;
  }

  private tellStats(group: string, done: (lines: readonly StatLine[] | null) => void): void {
    const { siblings } = this;
    if (siblings === null) {
      this.withServers(group, done);
      return;
    }
    siblings.ask({ kind: "stats", group }, (values) => {
      const all = (values as (readonly StatLine[] | null)[]).filter((lines) => lines !== null);
      const merged = mergeWorkers(group, all);
      if (!this.asksServers(group)) {
        done(all.length === 0 ? null : merged);
        return;
      }
      const sums = new Map(group === "" ? merged : []);
      this.withServers(group, (lines) => {
        done(lines?.map(([name, value]) => [name, sums.get(name) ?? value] as const) ?? null);
      });
    });
  }

  /** What this process has to say of `stats GROUP`, `servers` being what they have said of it. */
  private ownStats(group: string, servers: readonly ServerStats[]): readonly StatLine[] | null {
    const { mcrouter } = this.running.config;
    // Names that mean other things there have mcrouter's meaning; what only memcached knows is memcached's.
    const lines = mcrouter === null || group === "platypus" ? null : mcrouterStatLines(group, this.mcrouterFacts());
    return lines ?? statLines(group, this.facts(), servers);
  }

  /** Whether the servers have something to say of a group. */
  private asksServers(group: string): boolean {
    return isOfServers(group) && (this.running.config.mcrouter === null || group !== "");
  }

  private withServers(group: string, done: (lines: readonly StatLine[] | null) => void): void {
    const asked = this.asksServers(group) ? [...this.running.pools.backends.values()] : [];
    askServers(asked, group, this.clock, (answers) => done(this.ownStats(group, answers)));
  }

  private facts() {
    const { config, pools, rules } = this.running;
    return {
      version: packageVersion,
      memcachedVersion: this.memcachedVersion(),
      startedUnixSeconds: this.startedUnixSeconds,
      unixSeconds: this.clock.unixSeconds(),
      server: config.server,
      listeners: this.listeners,
      clients: countersSince(this.context.counters, this.statsBase),
      backends: [...pools.backends.values()],
      rules: rules.list,
      sources: this.limiters(),
      tracked: this.scheduler.tracked,
      trackedByRule: this.scheduler.trackedByRule(),
      fillsInFlight: this.filler.inFlight,
      refreshesInFlight: this.scheduler.inFlight,
      store: pools.routes.size === 0 ? this.store : null,
      reloadError: this.reloadError,
      configAgeSeconds: Math.floor((this.clock.nowMs() - this.configuredMs) / 1000),
    };
  }

  /** Of all workers. */
  private async allMetrics(): Promise<MetricValues> {
    return mergeMetrics(await this.askAll<MetricValues>({ kind: "metrics" }));
  }

  private metricFacts(): MetricFacts {
    const facts = this.facts();
    return {
      ...facts,
      isReady: this.notReady() === null,
      isConfigRefused: this.reloadError !== null,
      clients: this.context.counters,
      backends: this.poolBackends(),
      routes: this.routeCounters,
      process: this.startMonitor().read(),
    };
  }

  /** Each backend once. */
  private poolBackends(): PoolBackend[] {
    const { pools } = this.running;
    const poolOf = new Map<KeyedBackend, string>();
    for (const [name, { backends }] of [...pools.routes].reverse()) {
      for (const backend of backends) poolOf.set(backend, name);
    }
    return [...pools.backends.values()].map((backend) => ({ pool: poolOf.get(backend) ?? "", backend }));
  }

  /** Why clients are not to be sent here; null: they may be. */
  private notReady(): string | null {
    if (this.isDraining) return "draining";
    const backends = [...this.running.pools.backends.values()];
    this.hasConnected ||= backends.length === 0 || backends.some(({ version }) => version !== null);
    if (this.hasConnected) return null;
    // Servers that are never left alone (mcrouter's --disable-tko) are not probed by themselves, and clients do not come.
    this.greetBackends();
    return "no server has been connected to yet";
  }

  /** The same of all workers: one that has just taken the place of another may not have connected to a server yet. */
  private async noneIsReady(): Promise<string | null> {
    const reason = this.notReady();
    if (reason === null || this.isDraining || this.siblings === null) return reason;
    const others = await this.askAll<boolean>({ kind: "hasConnected" });
    this.hasConnected ||= others.includes(true);
    return this.hasConnected ? null : reason;
  }

  private async openAdmin({ server }: Config): Promise<void> {
    if (server.admin === null) return;
    const { address, isDefault } = server.admin;
    const { ADMIN_SOCKET, AdminServer } = await import("./admin/server.ts");
    const socket = this.siblings?.sockets.get(ADMIN_SOCKET);
    // The supervisor could not have it, and has said so.
    if (this.siblings !== null && socket === undefined) return;
    this.startMonitor();
    try {
      this.admin = await AdminServer.open(address, this.adminFacts(), this.clock, socket);
    } catch (error) {
      // Another Platypus of this machine has it, or whatever else: nobody has asked for this very address.
      if (!isDefault) throw error;
      this.log.warn("admin", `${(error as Error).message}; goes on without`);
      return;
    }
    this.greetBackends();
  }

  private adminFacts(): AdminFacts {
    this.history ??= new History(this.clock, () => ({
      clients: this.context.counters,
      rules: this.running.rules.list,
      sources: this.limiters(),
    }));
    return {
      metrics: async () => prometheusText(await this.allMetrics()),
      notReady: () => this.noneIsReady(),
      config: () => shownConfig(this.running.config),
      history: async () => mergeSamples(await this.askAll<Sample[]>({ kind: "history" })),
      now: async () => {
        this.greetBackends();
        return nowOf(await this.askAll<PageNow>({ kind: "page" }));
      },
      tracked: async (rule) => mostNeededOf(await this.askAll<TrackedKey[]>({ kind: "tracked", rule })),
      explain: (key) => this.explainKey(key),
    };
  }

  /** The key as a person has typed it. */
  private explainKey(key: string): Line[] {
    const { config, sources } = this.running;
    const lines = explain(config, sources, Buffer.from(key, "utf8").toString("latin1"));
    return lines.map(([name, text]) => [name, withoutSecrets(text, config)]);
  }

  private pageNow(): PageNow {
    const metrics = this.metricFacts();
    const state = pageState({
      config: this.running.config,
      metrics,
      listen: this.addresses.map(addressText),
      notReady: this.notReady(),
      reloadError: this.reloadError,
      recent: this.recent,
      nowMs: this.clock.nowMs(),
    });
    return { sample: this.history?.last() ?? null, state };
  }

  /** What all workers answer, this one first; without workers what this process does. */
  private askAll<T>(question: Question): Promise<T[]> {
    const { siblings } = this;
    if (siblings === null) return Promise.resolve([this.answerSibling(question) as T]);
    return new Promise((resolve) => siblings.ask(question, (values) => resolve(values as T[])));
  }

  private limiters(): Limiter[] {
    return [...this.running.sources.values()].map(({ limiter }) => limiter);
  }

  /** Connects before the first request does: only then can anybody say whether the servers are there. */
  private greetBackends(): void {
    for (const backend of this.running.pools.backends.values()) if (backend.isUp) backend.probe();
  }

  private startMonitor(): ProcessMonitor {
    this.monitor ??= new ProcessMonitor();
    return this.monitor;
  }

  private async startTelemetry({ telemetry }: Config): Promise<void> {
    if (telemetry.metricsUrl === null && telemetry.tracesUrl === null) return;
    this.startMonitor();
    const { OpenTelemetry } = await import("./telemetry/opentelemetry.ts");
    this.openTelemetry = new OpenTelemetry({
      config: telemetry,
      version: packageVersion,
      facts: () => this.metricFacts(),
      startedUnixMs: this.startedUnixSeconds * 1000,
      random: this.random,
      failed: (message) => this.bursts.say("warn", "telemetry", "otlp", `not sent: ${message}`),
    });
    this.setTracer(this.openTelemetry.tracer);
  }

  private setTracer(tracer: Tracer | null): void {
    this.context.tracer = tracer;
    for (const { context } of [...this.poolListeners.values()].flat()) context.tracer = tracer;
  }

  /** Sends to the new place, and to the old one once more. */
  private replaceTelemetry(old: Config, next: Config): void {
    if (JSON.stringify(old.telemetry) === JSON.stringify(next.telemetry)) return;
    const restart = async () => {
      this.setTracer(null);
      await this.openTelemetry?.stop();
      this.openTelemetry = null;
      await this.startTelemetry(next);
    };
    this.telemetryChange = this.telemetryChange
      .then(restart)
      .catch((error: unknown) => this.log.error("telemetry", `not started: ${String(error)}`));
  }

  private beginMcrouterStats(): void {
    const { mcrouter } = this.running.config;
    if (mcrouter === null) return;
    this.rates = new RateWindow(this.clock, () => totalsOf(this.mcrouterCounters()));
    const { statsRoot, statsIntervalMs, serviceName, routerName } = mcrouter;
    if (statsRoot === null) return;
    this.statsFiles = new StatsFiles({
      root: statsRoot,
      serviceName,
      routerName,
      intervalMs: statsIntervalMs,
      clock: this.clock,
      stats: () => {
        const facts = this.mcrouterFacts();
        return Object.fromEntries([...(mcrouterStatLines("ods", facts) ?? []), ...poolStats(facts)]);
      },
      options: () => Object.fromEntries(mcrouter.options),
      sources: () => JSON.parse(this.answerAdmin("config_sources_info")),
      failed: (error) => this.bursts.say("warn", "stats", "files", `stats files are not written: ${String(error)}`),
    });
  }

  private mcrouterFacts() {
    const counters = this.mcrouterCounters();
    return { ...counters, rates: this.rates?.rates() ?? totalsOf(counters) };
  }

  private mcrouterCounters() {
    return {
      config: this.running.config,
      clock: this.clock,
      startedUnixSeconds: this.startedUnixSeconds,
      clients: this.context.counters,
      backends: [...this.running.pools.backends.values()],
      routes: this.routeCounters,
      asyncLog: this.spool.counters,
      configAgeSeconds: Math.floor((this.clock.nowMs() - this.configuredMs) / 1000),
      configLastAttemptUnixSeconds: this.configAttemptUnixSeconds,
      configFailures: this.configFailures,
    };
  }

  private answerAdmin(command: string): string {
    return answerAdmin(command, {
      config: this.running.config,
      clock: this.clock,
      hostId: this.hostId,
      configAgeSeconds: Math.floor((this.clock.nowMs() - this.configuredMs) / 1000),
      logLevel: this.log.level,
      setLogLevel: (level) => this.log.configure({ ...this.running.config.server.log, level }),
    });
  }

  private answerSibling(question: Question): unknown {
    switch (question.kind) {
      case "stats":
        return this.ownStats(question.group, []);
      case "resetStats":
        this.resetStats();
        return true;
      case "metrics":
        return readMetrics(this.metricFacts());
      case "page":
        return this.pageNow();
      case "history":
        return this.history?.all() ?? [];
      case "tracked":
        return this.trackedKeys(question.rule);
      case "hasConnected":
        this.notReady();
        return this.hasConnected;
    }
  }

  /** Without their names, where those are nobody's business. */
  private trackedKeys(rule: string): TrackedKey[] {
    const keys = this.scheduler.mostNeeded(rule, TRACKED_SHOWN);
    return this.running.config.telemetry.keys === "full" ? keys : keys.map((each) => ({ ...each, key: "" }));
  }

  private resetStats(): void {
    const { counters } = this.context;
    this.statsBase = { ...counters, operations: counters.operations.slice(), results: counters.results.slice() };
    this.store.resetCounters();
  }
}

/** Fields by which a log line belongs to a trace. */
function idsOf(span: Span | null): LogFields | undefined {
  return span === null ? undefined : { trace_id: span.traceId, span_id: span.spanId };
}
