/**
 * The composition root: the only file that knows every layer. Joins them, has them take over what a new configuration
 * changes (running.ts builds that), drains and stops.
 */

import { type Clock, systemClock } from "../clock.ts";
import { addressText, type Config, type ListenAddress } from "../config/config.ts";
import { needsRestart } from "../config/needs-restart.ts";
import { ReloadState } from "../config/reload-state.ts";
import { PlatypusError } from "../errors.ts";
import type { AsyncLog } from "../mcrouter/report/async-log.ts";
import type { SelfReport } from "../mcrouter/report/self-report.ts";
import { AdminAnswers } from "../observe/admin/answers.ts";
import { Readiness } from "../observe/admin/readiness.ts";
import type { AdminServer } from "../observe/admin/server.ts";
import { withoutSecrets } from "../observe/admin/shown-config.ts";
import { fillLog } from "../observe/fill-log.ts";
import { loadedWing, loadWing } from "../observe/mcrouter-wing.ts";
import { isStrictMemcached } from "../observe/memcached-version.ts";
import { OpenFilesProbe } from "../observe/open-files-probe.ts";
import { OtlpExport } from "../observe/otlp/otlp-export.ts";
import { OwnSnapshot } from "../observe/own-snapshot.ts";
import { type Siblings, Workers } from "../observe/siblings.ts";
import { StatsCommand } from "../observe/stats/stats-command.ts";
import type { Backend } from "../proxy/backend/backend.ts";
import type { ClientContext } from "../proxy/client/client-context.ts";
import { newClientCounters } from "../proxy/client/client-counters.ts";
import { Listeners } from "../proxy/client/listeners.ts";
import { LocalCommands } from "../proxy/client/local-commands.ts";
import { ValueSizes } from "../proxy/client/read-ahead.ts";
import { Rounds } from "../proxy/client/rounds.ts";
import { hostId } from "../proxy/hash/host-id.ts";
import { isHolding, replaceBackends } from "../proxy/route/pools.ts";
import { newRouteCounters } from "../proxy/route/route-counters.ts";
import { ItemStore } from "../proxy/store/item-store.ts";
import type { Tracer } from "../proxy/tracing.ts";
import { BinaryParser } from "../proxy/wire/binary-parser.ts";
import { ClassicParser } from "../proxy/wire/classic-parser.ts";
import { Turn } from "../proxy/wire/turn.ts";
import { Filler } from "../refresh/filler.ts";
import type { PoolPort } from "../refresh/pool/pool-port.ts";
import { ReadMarks } from "../refresh/pool/read-marks.ts";
import { Scheduler } from "../refresh/scheduler.ts";
import { UnsettledWrites } from "../refresh/unsettled-writes.ts";
import { retireSources } from "../sources/build.ts";
import { BurstLog } from "../telemetry/burst-log.ts";
import { Log } from "../telemetry/log.ts";
import { Reports } from "../telemetry/reports.ts";
import { MemoryBound } from "./memory-bound.ts";
import { openFilesLimit, roomForClients } from "./open-files.ts";
import { buildRunning, type Running, type RunningContext, rootOf } from "./running.ts";

const DRAIN_POLL_MS = 10;
/** A worker tells the others at once when its clients have changed by this part of `max_connections`. */
const CONNECTION_STEPS = 64;
/** So long a drain waits for the last answers of the admin server. */
const LAST_ANSWERS_MS = 1_000;

/** What a process may hand in instead of the machine's own. */
export interface PlatypusOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly log?: Log;
  /** Where failures of reports are counted. */
  readonly reports?: Reports;
  /** The other workers of this address; null: there are none. */
  readonly siblings?: Siblings | null;
}

/** Values that are taken from clients while memory is short. */
const SMALL_VALUE_BYTES = 16 * 1024;

function withSmallValues(server: Config["server"]): Config["server"] {
  return { ...server, maxValueBytes: Math.min(server.maxValueBytes, SMALL_VALUE_BYTES) };
}

/** What is left of a reload. */
interface DueReload {
  /** Nothing goes through the routes before it any more. */
  isQuiet: boolean;
  end(): void;
}

/** A running Platypus. */
export class Platypus {
  private readonly clock: Clock;
  private readonly log: Log;
  private readonly reports: Reports;
  private readonly siblings: Siblings | null;
  private readonly context: ClientContext;
  private readonly listeners: Listeners;
  private readonly filler: Filler;
  private readonly scheduler: Scheduler;
  private readonly memory: MemoryBound;
  private readonly unsettled: UnsettledWrites;
  /** Limit of open files of this process; `null` if it is unknown. */
  private readonly filesLimit: number | null;
  /** Clients for which it has descriptors. */
  private roomForClients: number;
  /** `null` without a mcrouter configuration. */
  private readonly spool: AsyncLog | null;
  private readonly openFiles: OpenFilesProbe;
  private readonly building: RunningContext;
  private running: Running;
  /** What fills and refreshes ask the pool through: that of `running`, or of one before until its requests are answered. */
  private port: PoolPort;
  /** Reloads before which requests of clients are under way, oldest first. */
  private readonly reloadsDue: DueReload[] = [];
  private readonly reloads: ReloadState;
  private readonly readiness: Readiness;
  private readonly own: OwnSnapshot;
  private readonly selfReport: SelfReport | null;
  private readonly otlp: OtlpExport;
  private readonly answers: AdminAnswers;
  private admin: AdminServer | null = null;
  /** Settled when the admin server has answered everybody; at once where it has not been told to leave. */
  private left: Promise<void> = Promise.resolve();

  private constructor(config: Config, options: PlatypusOptions) {
    const clock = options.clock ?? systemClock;
    const random = options.random ?? Math.random;
    const log = options.log ?? new Log(config.server.log);
    const siblings = options.siblings ?? null;
    const bursts = new BurstLog(log, clock);
    const reports = options.reports ?? new Reports(log, clock);
    const turn = new Turn(() => clock.nowMs());
    const running = () => this.running;
    const backends = (): readonly Backend[] => [...this.running.pools.backends.values()];
    this.clock = clock;
    this.log = log;
    this.reports = reports;
    this.siblings = siblings;
    log.withoutSecrets = (text) => withoutSecrets(text, this.running.config);
    this.reloads = new ReloadState(clock);
    const { embeddedBytes, maxValueBytes } = config.server;
    // An item is as large as memcached takes with -I max_value.
    const store = new ItemStore(embeddedBytes, maxValueBytes, () => clock.unixSeconds());
    const { mcrouter } = config;
    this.spool =
      mcrouter === null
        ? null
        : new (loadedWing().AsyncLog)({
            root: mcrouter.asyncLogRoot,
            serviceName: mcrouter.serviceName,
            routerName: mcrouter.routerName,
            version2: mcrouter.asyncLogVersion2,
            clock,
            reports,
          });

    this.openFiles = new OpenFilesProbe(clock, bursts);
    const routes = newRouteCounters();
    const host = hostId();
    this.building = {
      clock,
      turn,
      log,
      random,
      hostId: host,
      store,
      spool: this.spool,
      counters: routes,
      marks: new ReadMarks(),
      answerAdmin: (command) => this.selfReport!.answer(command),
      changed: (key) => {
        this.filler.changed(key);
        this.scheduler.changed(key);
      },
    };
    this.running = buildRunning(config, null, this.building);
    this.port = this.running.port;
    const shared = { clock, log: fillLog(bursts), port: this.running.port, rules: this.running.rules };
    const tracer = () => this.otlp.tracer;
    this.unsettled = new UnsettledWrites(clock);
    const { unsettled } = this;
    this.scheduler = new Scheduler({ ...shared, random, bounds: config.server, tracer, unsettled });
    const server = () => this.running.config.server;
    const sheds = {
      held: () => this.filler.shedHeld(),
      tracked: (bytes: number) => this.scheduler.shed(bytes),
      clients: (bytes: number) => this.listeners.cutOffLargest(bytes),
    };
    const memory = new MemoryBound(() => server().maxMemoryBytes, sheds, clock, bursts);
    this.memory = memory;
    this.filler = new Filler({
      ...shared,
      events: this.scheduler,
      holdBytes: config.server.holdBytes,
      refusesFill: () => memory.refusesFill(),
      unsettled,
    });

    const clients = newClientCounters();
    const startedUnixSeconds = clock.unixSeconds();
    const filesLimit = openFilesLimit();
    this.listeners = new Listeners({
      clock,
      log,
      server,
      access: () => this.running.config.access,
      loginFailed: (address, user, client) => {
        const who = user === null ? "an unknown user" : `user ${user}`;
        const message = `${client} could not log in at ${address} as ${who}`;
        bursts.say("warn", "client", `login ${address} ${user ?? ""}`, message);
      },
      sockets: siblings?.sockets ?? new Map(),
      maxConnections: () => {
        if (memory.refusesConnection()) return 0;
        const ofGroup = server().maxConnections - (siblings?.otherConnections ?? 0);
        return Math.min(ofGroup, this.roomForClients);
      },
      connectionsChanged: () => {
        // A part of the bound, so that the workers together exceed it by little.
        siblings?.connectionsChanged(clients.connections, Math.ceil(server().maxConnections / CONNECTION_STEPS));
      },
    });
    this.filesLimit = filesLimit;
    this.roomForClients = roomForClients(config, filesLimit);
    siblings?.onBeat(() => {
      return { connections: clients.connections, drainTimeoutMs: server().drainTimeoutMs };
    });
    this.own = new OwnSnapshot({
      clock,
      startedUnixSeconds,
      running,
      listeners: () => this.listeners.all,
      clients,
      routes,
      store,
      filler: this.filler,
      scheduler: this.scheduler,
      reloads: this.reloads,
      log,
      reports,
      openFiles: this.openFiles,
      memory,
      readiness: () => this.readiness,
      asyncLog: this.spool?.counters ?? null,
      mcrouter: () => this.selfReport?.numbers() ?? null,
      samples: (isHour) => this.answers.samples(isHour),
    });
    const { own } = this;
    const workers = new Workers(siblings, own);
    const hasAnyConnected = () =>
      new Promise<boolean>((resolve) =>
        workers.snapshot({ wantsReadiness: true }, (all) => resolve(all.process.hasConnected)),
      );
    this.readiness = new Readiness(backends, workers.isAlone ? null : hasAnyConnected);
    this.selfReport =
      mcrouter === null
        ? null
        : new (loadedWing().SelfReport)({
            clock,
            hostId: host,
            log,
            reports,
            config: () => this.running.config,
            reloads: this.reloads,
            totals: () => loadedWing().mcrouterTotals(own.counted()),
            stats: () => loadedWing().mcrouterFileStats(own.take()),
          });
    this.otlp = new OtlpExport({
      own,
      startedUnixSeconds,
      random,
      log,
      reports,
      setTracer: (next) => this.setTracer(next),
    });
    this.answers = new AdminAnswers({
      clock,
      running,
      readiness: this.readiness,
      workers,
      sampled: () => own.sampled(),
    });
    // From then on the others answer there: that this one drains is not the state of all.
    siblings?.onReplaced(() => {
      this.readiness.hasSuccessor = true;
      this.left = this.admin?.leave() ?? this.left;
    });

    const clientLimits = () => (memory.refusesLargeValues ? withSmallValues(server()) : server());
    this.context = {
      root: rootOf(this.running, this.filler, true, clock),
      limits: config.server,
      parser: new ClassicParser(clientLimits, () => isStrictMemcached(backends())),
      binaryParser: new BinaryParser(clientLimits),
      turn,
      rounds: new Rounds(),
      sizes: new ValueSizes(turn),
      local: new LocalCommands(new StatsCommand({ clock, running, workers })),
      counters: clients,
      tracer: null,
      fault: (error) => {
        bursts.say("error", "client", error.message, `a connection was closed: ${error.stack}`.split("\n"));
      },
    };
  }

  /** Starts to listen with `config`. Throws a PlatypusError when an address cannot be had; then nothing is left running. */
  static async start(config: Config, options: PlatypusOptions = {}): Promise<Platypus> {
    if (config.mcrouter !== null) await loadWing();
    const platypus = new Platypus(config, options);
    try {
      platypus.readiness.greetBackends();
      await platypus.listen(config);
      await platypus.openAdmin(config);
      await platypus.otlp.start(config.telemetry);
    } catch (error) {
      await platypus.close();
      throw error;
    }
    platypus.selfReport?.begin();
    platypus.openFiles.start();
    platypus.memory.start();
    return platypus;
  }

  /** Where the admin server listens, with the real port; null: there is none. */
  get adminAddress(): ListenAddress | null {
    return this.admin?.address ?? null;
  }

  /** Where it listens, with the real ports. */
  get addresses(): readonly ListenAddress[] {
    return this.listeners.addresses;
  }

  /**
   * As `reload`, with the addresses of pools that are new. Rejects with a PlatypusError when one of them cannot be had; then
   * nothing has changed.
   */
  async takeOver(config: Config): Promise<void> {
    for (const { name, listen } of config.pools) {
      for (const address of listen) this.checkSocket(name, address);
    }
    await this.listeners.openNewPools(config.pools, this.context);
    this.reload(config);
  }

  /**
   * Goes on with `config`: connections and requests under way stay, what is unchanged lives on. Settings that need a
   * restart keep their value and are named in the log.
   */
  reload(config: Config): void {
    const previous = this.running;
    for (const line of needsRestart(previous.config, config)) this.log.warn("config", line);
    const next = buildRunning(config, previous, this.building);
    this.running = next;
    this.roomForClients = roomForClients(config, this.filesLimit);
    this.log.configure(config.server.log);
    const begin = replaceBackends(previous.pools, next.pools);
    // What holds requests back waits for those of clients that are under way, and these may wait for a fill.
    const isPortDue = this.reloadsDue.length > 0 || isHolding(next.pools);
    if (isPortDue) this.replaceRules();
    else this.usePort(next);
    this.context.root = rootOf(next, this.filler, this.underWay === 0, this.clock);
    this.context.limits = config.server;
    const due: DueReload = {
      isQuiet: false,
      end: () => {
        if (isPortDue) this.usePort(next);
        begin();
      },
    };
    this.reloadsDue.push(due);
    this.listeners.waitForAll(() => {
      due.isQuiet = true;
      // In their order: a client that has left is waited for by the reloads before it left only.
      while (this.reloadsDue[0]?.isQuiet) this.reloadsDue.shift()!.end();
    });
    this.listeners.replacePools(config.pools, next.pools.routes);
    this.reloads.taken();
    this.listeners.renew();
    this.otlp.replace(previous.config.telemetry, config.telemetry);
    retireSources(previous.sources, next.sources, (name, error) =>
      this.log.warn("source", `${name}: not closed: ${String(error)}`),
    );
  }

  /** Fills and refreshes ask the pool through the port of `running`, from now on. */
  private usePort(running: Running): void {
    this.port = running.port;
    running.usePort();
    this.replaceRules();
  }

  private replaceRules(): void {
    const { rules, config } = this.running;
    this.filler.replace(rules, this.port, config.server.holdBytes);
    this.scheduler.replace(rules, this.port, config.server);
  }

  /** Says in `stats` that a configuration was refused; the one before goes on serving. */
  refuseReload(message: string): void {
    this.reloads.refused(message);
  }

  /**
   * Stops accepting, answers everything that was read, and closes each client when it is done; cuts off those that are
   * still there after the drain time-out. Then as `close`.
   */
  async drain(): Promise<void> {
    this.readiness.isDraining = true;
    this.scheduler.stop();
    this.listeners.drain();
    const endMs = this.clock.nowMs() + this.running.config.server.drainTimeoutMs;
    // Fetches under way are waited for too: the leases they hold would keep other processes from fetching. So are writes with
    // an unknown outcome: they may leave a value behind that a client's write has overtaken.
    const isBusy = () => this.underWay > 0 || this.listeners.hasClients;
    while (isBusy() && this.clock.nowMs() < endMs) await this.pause(DRAIN_POLL_MS);
    // Of those who asked the admin server before it left one may still wait for its answer.
    await Promise.race([this.left, this.pause(LAST_ANSWERS_MS)]);
    await this.close();
  }

  /** Closes everything at once. */
  async close(): Promise<void> {
    this.scheduler.stop();
    this.unsettled.stop();
    this.openFiles.stop();
    this.memory.stop();
    this.listeners.close();
    for (const backend of this.running.pools.backends.values()) backend.close();
    this.own.stop();
    this.answers.stop();
    await Promise.all([
      this.admin?.close(),
      this.otlp.stop(),
      this.selfReport?.stop(),
      this.spool?.close(),
      ...[...this.running.sources.values()].map(({ source }) => source.close()),
    ]);
  }

  /** Fills, refreshes and checks of unsettled writes. */
  private get underWay(): number {
    return this.filler.inFlight + this.scheduler.inFlight + this.unsettled.size;
  }

  /** A worker has the sockets that its supervisor opened, and no others. */
  private checkSocket(pool: string, address: ListenAddress): void {
    if (this.siblings === null || this.siblings.sockets.has(addressText(address))) return;
    throw new PlatypusError("LISTEN", `pool ${pool}: ${addressText(address)} is new; with workers it needs a restart`);
  }

  private async listen({ server, pools }: Config): Promise<void> {
    for (const address of server.listen) await this.listeners.open(address, this.context);
    for (const { name, listen } of pools) {
      const root = this.running.pools.routes.get(name);
      for (const address of root === undefined ? [] : listen) {
        await this.listeners.openForPool(name, address, root!, this.context);
      }
    }
  }

  private async openAdmin({ server }: Config): Promise<void> {
    if (server.admin === null) return;
    const { address, isDefault } = server.admin;
    const { ADMIN_SOCKET, AdminServer } = await import("../observe/admin/server.ts");
    const socket = this.siblings?.sockets.get(ADMIN_SOCKET);
    // The supervisor could not have it, and has said so.
    if (this.siblings !== null && socket === undefined) return;
    this.own.watchProcess();
    this.answers.begin();
    try {
      this.admin = await AdminServer.open({
        address,
        facts: this.answers,
        clock: this.clock,
        reports: this.reports,
        socket,
        hosts: () => this.running.config.server.adminHosts,
      });
    } catch (error) {
      // Another Platypus of this machine has it, or whatever else: nobody has asked for this very address.
      if (!isDefault) throw error;
      this.log.warn("admin", `${(error as Error).message}; goes on without`);
    }
  }

  private setTracer(tracer: Tracer | null): void {
    this.context.tracer = tracer;
    this.listeners.setPoolTracer(tracer);
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.setTimer(ms, resolve));
  }
}
