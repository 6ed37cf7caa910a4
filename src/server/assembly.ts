/**
 * Creates the parts of a Platypus in order: each part receives the parts that were created before it. Events for parts
 * that are created later go through `RunningEvents`; other data is requested at run time.
 *
 *     configuration ─► parts that a reload replaces (running.ts) ─► fills and refreshes ─► clients ─► reports
 *
 * Nothing is opened here and no timer runs: platypus.ts starts, reloads, drains and stops the parts.
 */
import { type Clock, systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { ReloadState } from "../config/reload-state.ts";
import type { Following } from "../discovery/following.ts";
import type { AsyncLog } from "../mcrouter/report/async-log.ts";
import type { SelfReport } from "../mcrouter/report/self-report.ts";
import type { AdminControl } from "../observe/admin/actions.ts";
import { AdminAnswers } from "../observe/admin/answers.ts";
import { Readiness } from "../observe/admin/readiness.ts";
import { withoutSecrets } from "../observe/admin/shown-config.ts";
import { fillLog } from "../observe/fill-log.ts";
import { loadedWing } from "../observe/mcrouter-wing.ts";
import { isStrictMemcached } from "../observe/memcached-version.ts";
import { OpenFilesProbe } from "../observe/open-files-probe.ts";
import { OtlpExport } from "../observe/otlp/otlp-export.ts";
import { OwnSnapshot } from "../observe/own-snapshot.ts";
import { type Siblings, Workers } from "../observe/siblings.ts";
import { StatsCommand } from "../observe/stats/stats-command.ts";
import type { Backend } from "../proxy/backend/backend.ts";
import type { ClientContext } from "../proxy/client/client-context.ts";
import { newClientCounters } from "../proxy/client/client-counters.ts";
import { ClusterAnswer } from "../proxy/client/cluster-answer.ts";
import { Listeners } from "../proxy/client/listeners.ts";
import { LocalCommands } from "../proxy/client/local-commands.ts";
import { ValueSizes } from "../proxy/client/read-ahead.ts";
import { Rounds } from "../proxy/client/rounds.ts";
import { hostId } from "../proxy/hash/host-id.ts";
import { NearCache } from "../proxy/near/near-cache.ts";
import { newRouteCounters } from "../proxy/route/route-counters.ts";
import { ItemStore } from "../proxy/store/item-store.ts";
import { BinaryParser } from "../proxy/wire/binary-parser.ts";
import { ClassicParser } from "../proxy/wire/classic-parser.ts";
import { Turn } from "../proxy/wire/turn.ts";
import { FailedKeys } from "../refresh/failed-keys.ts";
import { type FillObserver, observedEvents, observedLog } from "../refresh/fill-observer.ts";
import { Filler } from "../refresh/filler.ts";
import { newHandoffCounters } from "../refresh/handoff/copier.ts";
import { ReadMarks } from "../refresh/pool/read-marks.ts";
import { Scheduler } from "../refresh/scheduler.ts";
import { UnsettledWrites } from "../refresh/unsettled-writes.ts";
import { BurstLog } from "../telemetry/burst-log.ts";
import type { Log } from "../telemetry/log.ts";
import { Reports } from "../telemetry/reports.ts";
import { Control } from "./control.ts";
import { MemoryBound } from "./memory-bound.ts";
import { openFilesLimit, roomForClients } from "./open-files.ts";
import { buildRunning, type Running, type RunningContext, RunningEvents, rootOf } from "./running.ts";

/**
 * A worker tells the others immediately when its number of clients has changed by this fraction of `max_connections`.
 */
const CONNECTION_STEPS = 64;

/** Dependencies that replace the machine's defaults. */
export interface PlatypusOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly log?: Log;
  /** Counts failed reports. */
  readonly reports?: Reports;
  /** The other workers of this address. `null` if there are none. */
  readonly siblings?: Siblings | null;
  /** Receives the events of fills and refreshes. */
  readonly observer?: FillObserver;
}

/** The configuration to start with, and the lists of servers that it contains. */
export interface Followed {
  readonly config: Config;
  readonly following: Following;
}

/** Maximum size of values that clients may store while memory is short. */
const SMALL_VALUE_BYTES = 16 * 1024;

function withSmallValues(server: Config["server"]): Config["server"] {
  return { ...server, maxValueBytes: Math.min(server.maxValueBytes, SMALL_VALUE_BYTES) };
}

/** State that a reload replaces. */
interface RunningState {
  running: Running;
  /** Number of clients for which the process has file descriptors. */
  roomForClients: number;
}

export interface Assembly {
  readonly clock: Clock;
  readonly log: Log;
  readonly reports: Reports;
  readonly siblings: Siblings | null;
  readonly now: RunningState;
  /** Limit of open files of this process. `null` if it is unknown. */
  readonly filesLimit: number | null;
  readonly building: RunningContext;
  readonly context: ClientContext;
  readonly listeners: Listeners;
  readonly filler: Filler;
  readonly scheduler: Scheduler;
  readonly unsettled: UnsettledWrites;
  readonly memory: MemoryBound;
  readonly openFiles: OpenFilesProbe;
  /** `null` without a mcrouter configuration, like `selfReport`. */
  readonly spool: AsyncLog | null;
  readonly reloads: ReloadState;
  readonly readiness: Readiness;
  readonly own: OwnSnapshot;
  readonly workers: Workers;
  readonly selfReport: SelfReport | null;
  readonly otlp: OtlpExport;
  readonly answers: AdminAnswers;
  readonly control: Control;
  readonly adminControl: AdminControl;
}

/** Creates the parts of a Platypus for `config`. If `config` needs mcrouter's wing, it is loaded. */
export function assemble({ config, following }: Followed, options: PlatypusOptions & { readonly log: Log }): Assembly {
  const clock = options.clock ?? systemClock;
  const random = options.random ?? Math.random;
  const { log } = options;
  const siblings = options.siblings ?? null;
  const bursts = new BurstLog(log, clock);
  const reports = options.reports ?? new Reports(log, clock);
  const turn = new Turn(() => clock.nowMs());
  const reloads = new ReloadState(clock);
  const { embeddedBytes, maxValueBytes } = config.server;
  // The maximum size of an item is that of memcached with -I max_value.
  const store = new ItemStore(embeddedBytes, maxValueBytes, () => clock.unixSeconds());
  const { mcrouter } = config;
  const spool: AsyncLog | null =
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

  const openFiles = new OpenFilesProbe(clock, bursts);
  const routes = newRouteCounters();
  const host = hostId();
  const events = new RunningEvents();
  const unsettled = new UnsettledWrites(clock);
  const near = new NearCache();
  const building: RunningContext = {
    clock,
    turn,
    log,
    random,
    hostId: host,
    store,
    spool,
    counters: routes,
    marks: new ReadMarks(),
    cluster: new ClusterAnswer(clock),
    unsettled,
    handoffs: newHandoffCounters(),
    near,
    events,
  };
  log.withoutSecrets = (text) => withoutSecrets(text, config);
  const filesLimit = openFilesLimit();
  const now: RunningState = {
    running: buildRunning(config, null, building),
    roomForClients: roomForClients(config, filesLimit),
  };
  log.withoutSecrets = (text) => withoutSecrets(text, now.running.config);
  const running = () => now.running;
  const server = () => now.running.config.server;
  const backends = (): readonly Backend[] => [...now.running.pools.backends.values()];

  const { observer } = options;
  const ownLog = fillLog(bursts);
  const shared = {
    clock,
    log: observer === undefined ? ownLog : observedLog(ownLog, observer),
    port: now.running.port,
    rules: now.running.rules,
  };
  const failedKeys = new FailedKeys(random);
  const scheduler = new Scheduler({
    ...shared,
    random,
    bounds: config.server,
    unsettled,
    failedKeys,
    ended: (key, rule, end) => {
      if (end !== "unchanged" && end !== "busy") near.writtenText(key);
      observer?.refreshed(key, rule.config.name, end);
    },
  });
  const sheds = {
    near: () => near.shed(clock.nowMs()),
    held: () => filler.shedHeld(),
    tracked: (bytes: number) => scheduler.shed(bytes),
    clients: (bytes: number) => listeners.cutOffLargest(bytes),
  };
  const memory = new MemoryBound(() => server().maxMemoryBytes, sheds, clock, bursts);
  const filler = new Filler({
    ...shared,
    events: observer === undefined ? scheduler : observedEvents(scheduler, observer),
    holdBytes: config.server.holdBytes,
    refusesFill: () => memory.refusesFill(),
    unsettled,
    failedKeys,
    written: (key) => near.writtenText(key),
  });
  events.lost = (pool) => following.lost(pool);
  events.changed = (key) => {
    filler.changed(key);
    scheduler.changed(key);
  };

  const clients = newClientCounters();
  const startedUnixSeconds = clock.unixSeconds();
  const listeners = new Listeners({
    clock,
    log,
    server,
    access: () => now.running.config.access,
    loginFailed: (address, user, client) => {
      const who = user === null ? "an unknown user" : `user ${user}`;
      const message = `${client} could not log in at ${address} as ${who}`;
      bursts.say("warn", "client", `login ${address} ${user ?? ""}`, message);
    },
    sockets: siblings?.sockets ?? new Map(),
    maxConnections: () => {
      if (memory.refusesConnection()) return 0;
      const ofGroup = server().maxConnections - (siblings?.otherConnections ?? 0);
      return Math.min(ofGroup, now.roomForClients);
    },
    connectionsChanged: () => {
      // A fraction of the limit, so that the workers together exceed it only slightly.
      siblings?.connectionsChanged(clients.connections, Math.ceil(server().maxConnections / CONNECTION_STEPS));
    },
  });
  siblings?.onBeat(() => {
    return { connections: clients.connections, drainTimeoutMs: server().drainTimeoutMs };
  });
  const own = new OwnSnapshot({
    clock,
    startedUnixSeconds,
    running,
    listeners: () => listeners.all,
    clientsOf: (pool) => listeners.clientsOf(pool),
    clients,
    routes,
    store,
    filler,
    scheduler,
    reloads,
    log,
    reports,
    openFiles,
    memory,
    handoffs: building.handoffs,
    near,
    discoveries: () => following.states,
    readiness: () => readiness,
    asyncLog: spool?.counters ?? null,
    mcrouter: () => selfReport?.numbers() ?? null,
    samples: (isHour) => answers.samples(isHour),
  });
  const control = new Control({ running, scheduler, filler, near, log });
  const workers = new Workers(siblings, own, {
    listChanged: (pool) => following.look(pool),
    execute: (command) => control.execute(command),
  });
  const adminControl: AdminControl = {
    token: () => server().adminToken,
    execute: (command) => workers.control(command),
    refused: (client) => bursts.say("warn", "admin", "token", `${client} sent a command without the right token`),
  };
  const hasAnyConnected = () =>
    new Promise<boolean>((resolve) =>
      workers.snapshot({ wantsReadiness: true }, (all) => resolve(all.process.hasConnected)),
    );
  const hasUnknownServers = () => backends().length === 0 && now.running.config.pools.length > 0;
  const knownBackends = () => (hasUnknownServers() ? null : backends());
  const readiness = new Readiness(knownBackends, workers.isAlone ? null : hasAnyConnected);
  const selfReport: SelfReport | null =
    mcrouter === null
      ? null
      : new (loadedWing().SelfReport)({
          clock,
          hostId: host,
          log,
          reports,
          config: () => now.running.config,
          reloads,
          totals: () => loadedWing().mcrouterTotals(own.counted()),
          stats: () => loadedWing().mcrouterFileStats(own.take()),
        });
  events.answerAdmin = (command) => selfReport!.answer(command);
  const answers = new AdminAnswers({
    clock,
    running,
    readiness,
    workers,
    sampled: () => own.sampled(),
    port: () => now.running.port,
  });

  const clientLimits = () => (memory.refusesLargeValues ? withSmallValues(server()) : server());
  const context: ClientContext = {
    root: rootOf(now.running, filler, true, building),
    limits: config.server,
    parser: new ClassicParser(clientLimits, () => isStrictMemcached(backends())),
    binaryParser: new BinaryParser(clientLimits),
    turn,
    rounds: new Rounds(),
    sizes: new ValueSizes(turn),
    local: new LocalCommands(new StatsCommand({ clock, running, workers, cluster: building.cluster })),
    counters: clients,
    ends: { closed: 0, failed: 0 },
    tracer: null,
    accessLog: null,
    fault: (error) => {
      bursts.say("error", "client", error.message, `a connection was closed: ${error.stack}`.split("\n"));
    },
  };
  const otlp = new OtlpExport({
    own,
    startedUnixSeconds,
    random,
    log,
    reports,
    setTracer: (tracer) => {
      context.tracer = tracer;
      listeners.setPoolTracer(tracer);
      scheduler.tracer = tracer;
    },
  });
  return {
    clock,
    log,
    reports,
    siblings,
    now,
    filesLimit,
    building,
    context,
    listeners,
    filler,
    scheduler,
    unsettled,
    memory,
    openFiles,
    spool,
    reloads,
    readiness,
    own,
    workers,
    selfReport,
    otlp,
    answers,
    control,
    adminControl,
  };
}
