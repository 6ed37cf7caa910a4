/**
 * One memcached server: its connections, and its state.
 */
import type { Clock, Timer } from "../../clock.ts";
import { addressText, type PoolConfig, type PoolServer } from "../../config/config.ts";
import type { Log } from "../../telemetry/log.ts";
import { failures, STATUS_COUNT, Status } from "../reply.ts";
import { OPERATION_COUNT, Operation, type Request } from "../request.ts";
import type { Turn } from "../wire/turn.ts";
import { AllCompleted } from "./all-completed.ts";
import type { BackendLink, ConnectionEvents, ConnectionOptions } from "./backend-link.ts";
import { BackendConnection } from "./connection.ts";
import { type Health, type HealthEvents, HealthState } from "./health.ts";
import { OperationDurations, type SentRequest } from "./operation-durations.ts";
import { ownRequest } from "./own-request.ts";
import { SaslConnection } from "./sasl-connection.ts";
import { CallAttributes, TracedCall } from "./traced-call.ts";

/** Dependencies of backends on their process. */
export interface BackendContext {
  readonly clock: Clock;
  readonly turn: Turn;
  readonly log: Log;
  /** 0 ≤ x < 1, for jitter. */
  readonly random: () => number;
  /** A connection to a server of the pool was lost, or could not be established. */
  readonly lost?: (pool: string) => void;
}

/** Bytes of a reply in addition to its value: the VALUE line, meta flags, END. */
const REPLY_OVERHEAD_BYTES = 64 * 1024;
const TIMEOUTS = "time-outs";
const states = ["up", "soft TKO", "hard TKO"] as const;

/** Counters of one backend since the start. */
export interface BackendCounters {
  requests: number;
  timeouts: number;
  connectFailures: number;
  outOfStep: number;
  /** Connections that were established, and that ended. */
  connects: number;
  disconnects: number;
  /** Connections that the server closed, and that ended with an error. */
  closedByServer: number;
  connectionErrors: number;
  /** Requests that were not sent, because the server could not be reached. */
  unsent: number;
  /** Bytes on all connections. */
  bytesWritten: number;
  bytesRead: number;
  /** By operation, with index `Operation`. */
  operations: Float64Array;
  /** By result, with index `Status`. Replies to meta commands count as their classic equivalents. */
  results: Float64Array;
  /** Failed probes and failed first commands of connections. `results` includes them. */
  ownFailures: number;
  /** Smoothed time from sending a request to its reply (µs). */
  latencyUs: number;
  /** Number of times it was marked soft TKO. */
  softTko: number;
  hardTko: number;
}

/** Weight of one request in the smoothed latency. */
const LATENCY_WEIGHT = 1 / 64;

/** A change of a backend's state, for display. */
export interface StateChange {
  readonly unixSeconds: number;
  readonly state: (typeof states)[number];
  /** The reason, if it is not up. */
  readonly reason: string | null;
}

const MAX_HISTORY = 20;

/** A server of a pool. */
export class Backend implements HealthEvents {
  /** `host:port` or `unix:path`. */
  readonly name: string;
  readonly counters: BackendCounters = {
    requests: 0,
    timeouts: 0,
    connectFailures: 0,
    outOfStep: 0,
    connects: 0,
    disconnects: 0,
    closedByServer: 0,
    connectionErrors: 0,
    unsent: 0,
    bytesWritten: 0,
    bytesRead: 0,
    operations: new Float64Array(OPERATION_COUNT),
    results: new Float64Array(STATUS_COUNT),
    ownFailures: 0,
    latencyUs: 0,
    softTko: 0,
    hardTko: 0,
  };
  /** Time from sending a request to its reply or failure. */
  readonly durations = new OperationDurations();
  /** The last changes of its state, oldest first. */
  readonly history: StateChange[] = [];
  readonly isTls: boolean;
  readonly serverTimeoutMs: number;
  /** The server's reported version, such as `1.6.18`. `null` before the first connection. */
  version: string | null = null;
  /**
   * True if the server does not support meta commands: see classic-pool.ts. Until it is known, the server counts as
   * memcached 1.6.
   */
  private isClassic = false;
  private readonly isSasl: boolean;
  /** Attributes of the spans of its calls. */
  private readonly callAttributes: CallAttributes;
  /** The pool that it was created for. */
  private readonly pool: string;
  private readonly connections: BackendLink[] = [];
  private readonly health: Health;
  private readonly clock: Clock;
  private readonly idleMs: number;
  private idleTimer: Timer | null = null;
  /** Number of other backends of this server whose last requests must end first. */
  private holds = 0;
  private readonly heldBack: { readonly request: Request; readonly slot: number }[] = [];
  /** Number of entrances to this backend (held-entrance.ts) that hold requests back. */
  entrancesHeld = 0;
  /** Actions for the moment when no requests are held back here any more. */
  private readonly afterHolds: (() => void)[] = [];
  /**
   * Retires the connections once no requests are held back, also on entrances. `null` if the backend is not retired.
   */
  private retiring: (() => void) | null = null;
  private readonly log: Log;

  /** `health` belongs to the server and is shared by all pools with this server. */
  constructor(
    server: PoolServer,
    pool: PoolConfig,
    health: Health,
    prefix: Buffer,
    maxValueBytes: number,
    context: BackendContext,
  ) {
    this.name = addressText(server.address);
    this.callAttributes = new CallAttributes(server.address, pool.name);
    this.pool = pool.name;
    this.isTls = pool.tls !== null;
    this.serverTimeoutMs = pool.serverTimeoutMs;
    this.log = context.log;
    this.isSasl = pool.login?.kind === "sasl";
    this.health = health;
    this.health.join(this);
    const options: ConnectionOptions = {
      address: server.address,
      tls: pool.tls,
      prefix,
      serverTimeoutMs: pool.serverTimeoutMs,
      connectTimeoutMs: pool.connectTimeoutMs,
      connectRetries: pool.socket.connectRetries,
      keepAliveMs: pool.socket.keepAliveMs,
      login: pool.login,
      // A pool may contain larger values than clients may store through Platypus.
      maxReplyBytes: Math.max(maxValueBytes * 2, 128 * 1024 * 1024) + REPLY_OVERHEAD_BYTES,
      clock: context.clock,
      turn: context.turn,
    };
    const events: ConnectionEvents = {
      answered: (sent, status) => {
        this.health.answered();
        if (status === 0) return;
        const { counters } = this;
        const tookUs = ((context.turn.nowMs() - sent.sentMs) * 1000) | 0;
        this.durations.add(sent, status, tookUs);
        counters.results[status]!++;
        counters.latencyUs += (tookUs - counters.latencyUs) * LATENCY_WEIGHT;
      },
      opened: () => {
        this.counters.connects++;
      },
      closed: () => {
        this.counters.disconnects++;
        context.lost?.(this.pool);
      },
      lost: (isError) => {
        if (isError) this.counters.connectionErrors++;
        else this.counters.closedByServer++;
      },
      written: (bytes) => {
        this.counters.bytesWritten += bytes;
      },
      read: (bytes) => {
        this.counters.bytesRead += bytes;
      },
      failed: (sent, status, source) => {
        this.counters.results[status]!++;
        if (source === "client") this.recordFailure(sent, status);
        else this.counters.ownFailures++;
        const isUnsent = status === Status.connectError || status === Status.connectTimeout;
        if (!isUnsent || source === "greeting") return;
        this.health.connectionAwaited();
        if (source === "client") this.counters.unsent++;
      },
      timedOut: (sent) => {
        this.counters.timeouts++;
        const isProbe = sent.operation === Operation.version;
        if (isProbe) this.counters.ownFailures++;
        else this.recordFailure(sent, Status.timeout);
        this.counters.results[Status.timeout]!++;
        this.lastReason = TIMEOUTS;
        this.health.timedOut(isProbe);
      },
      connectFailed: (reason) => {
        this.counters.connectFailures++;
        context.lost?.(this.pool);
        this.lastReason = reason;
        this.health.connectFailed();
      },
      outOfStep: (reason) => {
        this.counters.outOfStep++;
        this.log.warn("backend", `${this.name}: connection closed: ${reason}`);
      },
      refused: (reason) => {
        this.lastReason = reason;
        this.health.connectFailed();
      },
      hello: (line) => {
        this.version = line.split(" ")[1] ?? null;
        this.health.probeSucceeded();
      },
      speaksMeta: (isKnown) => {
        if (this.isClassic === !isKnown) return;
        this.isClassic = !isKnown;
        const state = isKnown
          ? "knows meta commands"
          : "knows no meta commands: leases are per process, TTLs cannot be read";
        this.log.info("backend", `${this.name}: ${state}`);
      },
    };
    const Link = this.isSasl ? SaslConnection : BackendConnection;
    for (let i = 0; i < pool.connections; i++) this.connections.push(new Link(options, events));
    this.clock = context.clock;
    this.idleMs = pool.socket.idleMs;
    this.watchIdle();
  }

  private lastReason = TIMEOUTS;

  private recordFailure(sent: SentRequest, status: Status): void {
    this.durations.add(sent, status, ((this.clock.nowMs() - sent.sentMs) * 1000) | 0);
  }

  /** False while the server is marked dead (TKO). */
  get isUp(): boolean {
    return this.health.state === HealthState.up;
  }

  /** True if the server is marked dead because no connection could be established. */
  get isHardTko(): boolean {
    return this.health.state === HealthState.hard;
  }

  /** Failures since the last success (`Health.failures`). */
  get failures(): number {
    return this.health.failures;
  }

  /** False if the server only supports classic or binary commands. */
  get speaksMeta(): boolean {
    return !this.isClassic && !this.isSasl;
  }

  /** Takes the server out of use, for all of its pools, until `undrain`. */
  drain(): void {
    this.lastReason = "drained by an operator";
    this.health.drain();
  }

  undrain(): void {
    this.health.undrain();
  }

  /** Number of requests sent and not answered yet, on all connections. */
  get outstanding(): number {
    return this.connections.reduce((sum, connection) => sum + connection.outstanding, 0);
  }

  /** Number of clients' requests that wait for a reply, without probes and requests that have timed out. */
  get inFlight(): number {
    return this.connections.reduce((sum, connection) => sum + connection.inFlight, 0);
  }

  /** Those of `inFlight` that wait for a connection. */
  get waiting(): number {
    return this.connections.reduce((sum, { isConnected, inFlight }) => sum + (isConnected ? 0 : inFlight), 0);
  }

  /** The state for display: up, soft TKO, hard TKO. */
  get stateName(): (typeof states)[number] {
    return states[this.health.state];
  }

  /** Number of established connections. */
  get connected(): number {
    return this.connections.reduce((sum, { isConnected }) => sum + (isConnected ? 1 : 0), 0);
  }

  get connectionCount(): number {
    return this.connections.length;
  }

  /** Sends `request` and completes it once. Requests with equal `slot` keep their order; 0 ≤ slot < connections. */
  send(request: Request, slot: number): void {
    if (this.health.state !== HealthState.up) {
      this.counters.results[Status.tko]! += request.weight;
      this.counters.unsent += request.weight;
      const { tko, tkoAfterTimeouts } = failures;
      request.complete(this.health.state === HealthState.soft ? tkoAfterTimeouts : tko);
      return;
    }
    if (request.span !== null) request.push(new TracedCall(request.span, request, this.callAttributes));
    this.counters.requests += request.weight;
    this.counters.operations[request.operation]! += request.weight;
    if (this.holds === 0 && this.heldBack.length === 0) {
      this.connections[slot]!.send(request);
    } else {
      request.retain();
      this.heldBack.push({ request, slot });
    }
  }

  /** Holds requests back until `letGo` is called as often as this. */
  holdBack(): void {
    this.holds++;
  }

  /** After the last matching call, sends the requests that waited. */
  letGo(): void {
    if (--this.holds > 0) return;
    const completed = new AllCompleted();
    // A request with a synchronous reply may trigger others: they wait after the rest.
    for (let i = 0; i < this.heldBack.length; i++) {
      const { request, slot } = this.heldBack[i]!;
      completed.run(() => this.connections[slot]!.send(request));
    }
    this.heldBack.length = 0;
    for (const step of this.afterHolds.splice(0)) completed.run(step);
    if (!this.isHolding) this.retiring?.();
    completed.end();
  }

  /** Called by an entrance that no longer holds requests back. */
  entranceOpened(): void {
    this.entrancesHeld--;
    if (!this.isHolding) this.retiring?.();
  }

  /** True if requests are held back here, or on an entrance to this backend. */
  get isHolding(): boolean {
    return this.holds > 0 || this.entrancesHeld > 0;
  }

  /**
   * Calls `done` once, synchronously or later: when all requests so far have been answered, have failed or have timed
   * out. A command after all others on each connection shows that. Requests that wait on entrances are not included.
   */
  whenAnswered(done: () => void): void {
    if (this.holds > 0) {
      this.afterHolds.push(() => this.whenAnswered(done));
      return;
    }
    const busy = this.connections.filter(({ outstanding }) => outstanding > 0);
    let due = busy.length + 1;
    const answered = () => {
      if (--due === 0) done();
    };
    for (const connection of busy) connection.send(ownRequest(Operation.version, "version", null, answered));
    answered();
  }

  mayShare(slot: number): boolean {
    return this.connections[slot]!.mayShare;
  }

  /**
   * Stops probes, and closes when no request is outstanding: the backend left the configuration. Calls `done` once,
   * synchronously or after closing.
   */
  retire(done: () => void): void {
    this.stop();
    // mcrouter's words.
    if (!this.isUp && this.health.isLeft) this.log.info("backend", `${this.name} was TKO, removed from config`);
    if (this.isHolding) this.retiring = () => this.retireConnections(done);
    else this.retireConnections(done);
  }

  private retireConnections(done: () => void): void {
    let open = this.connections.length;
    for (const connection of this.connections) {
      connection.retire(() => {
        if (--open === 0) done();
      });
    }
  }

  /** Closes all connections; outstanding requests fail. */
  close(): void {
    this.stop();
    const completed = new AllCompleted();
    for (const { request } of this.heldBack.splice(0)) completed.run(() => request.complete(failures.connectionLost));
    for (const connection of this.connections) completed.run(() => connection.close());
    completed.end();
  }

  /** Closes connections without requests for one to two intervals. */
  private watchIdle(): void {
    if (this.idleMs === 0) return;
    this.idleTimer = this.clock.setTimer(this.idleMs, () => {
      for (const connection of this.connections) connection.closeIfIdle();
      this.watchIdle();
    });
  }

  private stop(): void {
    this.health.leave(this);
    if (this.idleTimer !== null) this.clock.clearTimer(this.idleTimer);
    this.idleTimer = null;
  }

  /**
   * Sends a probe; called by the server's health. After a timeout of a server that is up, the probe is repeated up to
   * `repeats` times, so that a hung server is found without client requests.
   */
  probe(repeats = 0): void {
    const probe = ownRequest(Operation.version, "version", null, (reply) => {
      if (reply.status === Status.ok) this.health.probeSucceeded();
      else this.health.probeFailed();
      if (repeats > 0 && reply.status === Status.timeout && this.isUp) this.probe(repeats - 1);
    });
    this.connections[0]!.send(probe);
  }

  /** Called by the server's health after a change. */
  changed(state: HealthState): void {
    const isUp = state === HealthState.up;
    if (state === HealthState.soft) this.counters.softTko++;
    if (state === HealthState.hard) this.counters.hardTko++;
    this.history.push({
      unixSeconds: this.clock.unixSeconds(),
      state: states[state],
      reason: isUp ? null : this.lastReason,
    });
    if (this.history.length > MAX_HISTORY) this.history.shift();
    if (isUp) this.log.info("backend", `${this.name}: up again`);
    else this.log.warn("backend", `${this.name}: marked ${states[state]} (${this.lastReason})`);
  }
}
