/**
 * The life cycle of a Platypus: starts the parts of assembly.ts, replaces those that a new configuration changes (built
 * by running.ts), drains and stops them.
 */

import { systemClock, type Timer } from "../clock.ts";
import { addressText, type Config, type ListenAddress } from "../config/config.ts";
import { needsRestart } from "../config/needs-restart.ts";
import { formatDuration } from "../config/units.ts";
import { Following } from "../discovery/following.ts";
import { PlatypusError } from "../errors.ts";
import { type AccessLog, createAccessLog } from "../observe/access-log.ts";
import type { AdminServer } from "../observe/admin/server.ts";
import { loadWing } from "../observe/mcrouter-wing.ts";
import type { Snapshot } from "../observe/snapshot.ts";
import type { TwemproxyStatsServer } from "../observe/stats/twemproxy-server.ts";
import { type BuiltPools, isHolding, replaceBackends } from "../proxy/route/pools.ts";
import type { RefreshEnd } from "../refresh/asked-refreshes.ts";
import type { PoolPort } from "../refresh/pool/pool-port.ts";
import { retireSources } from "../sources/build.ts";
import { Log } from "../telemetry/log.ts";
import { type Assembly, assemble, type PlatypusOptions } from "./assembly.ts";
import { roomForClients } from "./open-files.ts";
import { buildRunning, type Running, rootOf } from "./running.ts";

const DRAIN_POLL_MS = 10;
/** Maximum time that a drain waits for the last replies of the admin server (ms). */
const LAST_ANSWERS_MS = 1_000;

/** A reload that waits for requests that began before it. */
interface DueReload {
  /** True if no requests use the previous routes any more. */
  isQuiet: boolean;
  end(): void;
}

/** A running Platypus. */
export class Platypus {
  private readonly parts: Assembly;
  /**
   * The pool interface of fills and refreshes. After a reload, the old one stays in use until its requests are
   * complete.
   */
  private port: PoolPort;
  /** Reloads that wait for client requests from before them, oldest first. */
  private readonly reloadsDue: DueReload[] = [];
  private admin: AdminServer | null = null;
  private accessLog: AccessLog | null = null;
  private twemproxyStats: TwemproxyStatsServer | null = null;
  /** Resolves when the admin server has sent all replies; immediately if it was not asked to leave. */
  private left: Promise<void> = Promise.resolve();
  private readonly following: Following;
  /** The configuration as it was loaded, without the lists of servers that were found. */
  private loaded: Config;
  /** True while a new configuration waits for its lists. */
  private isTakingOver = false;
  /** Set while keys are handed over. */
  private handoffTimer: Timer | null = null;

  private constructor(parts: Assembly, following: Following, loaded: Config) {
    this.parts = parts;
    this.following = following;
    this.loaded = loaded;
    this.port = parts.now.running.port;
    // From now on, other workers answer on the admin address: the drain of this worker does not affect the readiness of
    // all.
    parts.siblings?.onReplaced(() => {
      this.parts.readiness.hasSuccessor = true;
      this.left = this.admin?.leave() ?? this.left;
      this.twemproxyStats?.close();
    });
  }

  /**
   * Starts to listen with `config`. Throws a PlatypusError if an address is unavailable; then nothing is left running.
   */
  static async start(config: Config, options: PlatypusOptions = {}): Promise<Platypus> {
    if (config.tree !== null) await loadWing();
    const { clock = systemClock, random = Math.random, log = new Log(config.server.log) } = options;
    let platypus: Platypus | null = null;
    const changed = (pool: string) => platypus?.listChanged(pool);
    const following = new Following({ clock, random, log, changed });
    await following.follow(config);
    const parts = assemble({ config: following.applied(config), following }, { ...options, log });
    platypus = new Platypus(parts, following, config);
    try {
      parts.readiness.greetBackends();
      platypus.useAccessLog(config);
      await platypus.listen(config);
      await platypus.openAdmin(config);
      await platypus.openTwemproxyStats(config);
      await parts.otlp.start(config.telemetry);
    } catch (error) {
      await platypus.close();
      throw error;
    }
    parts.selfReport?.begin();
    parts.openFiles.start();
    parts.memory.start();
    return platypus;
  }

  /** The admin server's address, with the real port. `null` if absent. */
  get adminAddress(): ListenAddress | null {
    return this.admin?.address ?? null;
  }

  /** The numbers of this process. */
  snapshot(): Snapshot {
    return this.parts.own.take();
  }

  /** Refreshes a tracked key (one character per byte) now. Resolves with the end; "gone" if the key is not tracked. */
  refresh(key: string): Promise<RefreshEnd> {
    return new Promise((resolve) => this.parts.scheduler.refreshNow(key, resolve));
  }

  /** Deletes a key (one character per byte) from the pool as a client does. False if there was no item. */
  async delete(key: string): Promise<boolean> {
    const result = await this.parts.control.deleteKey(key);
    if (result === "failed") throw new PlatypusError("BACKEND", "the pool cannot delete the key now");
    return result === "deleted";
  }

  /** The listening addresses, with the real ports. */
  get addresses(): readonly ListenAddress[] {
    return this.parts.listeners.addresses;
  }

  /**
   * Like `reload`, and opens the addresses of new pools. Rejects with a PlatypusError if one of them is unavailable;
   * then nothing has changed.
   */
  async takeOver(config: Config): Promise<void> {
    for (const { name, listen } of config.pools) {
      for (const address of listen) this.checkSocket(name, address);
    }
    await this.parts.listeners.openNewPools(config.pools, this.parts.context);
    this.isTakingOver = true;
    await this.following.follow(config).finally(() => {
      this.isTakingOver = false;
    });
    this.reload(config);
  }

  /** The list of servers of a pool has changed: the same as a reload with these servers in the configuration. */
  private listChanged(pool: string): void {
    this.parts.workers.tellListChanged(pool);
    // The new configuration will have the list.
    if (this.isTakingOver) return;
    this.replace(this.following.applied(this.loaded));
  }

  /**
   * Changes to `config`: connections and requests in flight stay, unchanged parts are kept. Settings that need a
   * restart keep their value and are named in the log.
   */
  reload(config: Config): void {
    this.loaded = config;
    this.replace(this.following.applied(config));
    this.parts.reloads.taken();
  }

  private replace(config: Config): void {
    const { now, log, context, filler, listeners, otlp } = this.parts;
    const previous = now.running;
    for (const line of needsRestart(previous.config, config)) log.warn("config", line);
    const next = buildRunning(config, previous, this.parts.building);
    const { near } = this.parts.building;
    // The routes that are being replaced still have writes in flight.
    near.hold();
    now.running = next;
    now.roomForClients = roomForClients(config, this.parts.filesLimit);
    log.configure(config.server.log);
    const begin = replaceBackends(previous.pools, next.pools);
    // A route that holds requests back waits for client requests in flight, and these may wait for a fill.
    const isPortDue = this.reloadsDue.length > 0 || isHolding(next.pools);
    if (isPortDue) this.replaceRules();
    else this.usePort(next);
    context.root = rootOf(next, filler, this.underWay === 0, this.parts.building);
    context.limits = config.server;
    const due: DueReload = {
      isQuiet: false,
      end: () => {
        if (isPortDue) this.usePort(next);
        begin();
        near.release();
      },
    };
    this.reloadsDue.push(due);
    listeners.waitForAll(() => {
      due.isQuiet = true;
      // In order: a disconnected client only delays the reloads before its disconnect.
      while (this.reloadsDue[0]?.isQuiet) this.reloadsDue.shift()!.end();
    });
    listeners.replacePools(config.pools, next.pools.routes);
    listeners.renew();
    otlp.replace(previous.config.telemetry, config.telemetry);
    this.useAccessLog(config);
    this.watchHandoffs(previous.pools, next.pools);
    retireSources(previous.sources, next.sources, (name, error) =>
      log.warn("source", `${name}: not closed: ${String(error)}`),
    );
  }

  /** Logs handoffs that begin, and ends each one in its time: then nothing of the earlier list is needed any more. */
  private watchHandoffs(before: BuiltPools, now: BuiltPools): void {
    const { clock, log } = this.parts;
    if (this.handoffTimer !== null) clock.clearTimer(this.handoffTimer);
    this.handoffTimer = null;
    const ends = [...now.former].map(([pool, [latest, ...earlier]]) => {
      const { endMs } = latest!;
      const isNew = before.former.get(pool)?.[0] !== latest;
      const duration = formatDuration(Math.ceil((endMs - clock.nowMs()) / 1000) * 1000);
      if (isNew)
        log.info("pool", `pool ${pool}: keys that have moved are copied from their former server for ${duration}`);
      return Math.min(endMs, ...earlier.map((each) => each.endMs));
    });
    for (const pool of before.former.keys()) {
      if (!now.former.has(pool)) log.info("pool", `pool ${pool}: the handoff has ended`);
    }
    if (ends.length === 0) return;
    this.handoffTimer = clock.setTimer(Math.max(0, Math.min(...ends) - clock.nowMs()) + 1, () => {
      this.handoffTimer = null;
      // The new configuration ends it.
      if (this.isTakingOver) return;
      this.replace(this.following.applied(this.loaded));
    });
  }

  /** From now on, fills and refreshes use the port of `running`. */
  private usePort(running: Running): void {
    this.port = running.port;
    running.usePort();
    this.replaceRules();
  }

  private replaceRules(): void {
    const { rules, config } = this.parts.now.running;
    this.parts.filler.replace(rules, this.port, config.server.holdBytes);
    this.parts.scheduler.replace(rules, this.port, config.server);
  }

  /** Reports in `stats` that a configuration was refused; the previous one stays in use. */
  refuseReload(message: string): void {
    this.parts.reloads.refused(message);
  }

  /**
   * Stops accepting, answers all requests that were read, and closes each client when it is done. Closes the remaining
   * clients after the drain timeout. Then acts like `close`.
   */
  async drain(): Promise<void> {
    const { clock, now, readiness, scheduler, listeners } = this.parts;
    readiness.isDraining = true;
    this.following.stop();
    scheduler.stop();
    listeners.drain();
    const endMs = clock.nowMs() + now.running.config.server.drainTimeoutMs;
    // Also wait for fetches in flight: their leases would keep other processes from fetching. Also wait for writes with
    // an unknown outcome: they may leave an old value behind that a client's write has replaced.
    const isBusy = () => this.underWay > 0 || listeners.hasClients;
    while (isBusy() && clock.nowMs() < endMs) await this.pause(DRAIN_POLL_MS);
    // A client of the admin server may still wait for its reply.
    await Promise.race([this.left, this.pause(LAST_ANSWERS_MS)]);
    await this.close();
  }

  /** Closes all parts immediately. */
  async close(): Promise<void> {
    const { now, scheduler, unsettled, openFiles, memory, listeners, own, answers, otlp, selfReport, spool } =
      this.parts;
    this.following.stop();
    if (this.handoffTimer !== null) this.parts.clock.clearTimer(this.handoffTimer);
    scheduler.stop();
    unsettled.stop();
    openFiles.stop();
    memory.stop();
    listeners.close();
    this.twemproxyStats?.close();
    for (const backend of now.running.pools.backends.values()) backend.close();
    own.stop();
    answers.stop();
    this.accessLog?.flush();
    await Promise.all([
      this.admin?.close(),
      otlp.stop(),
      selfReport?.stop(),
      spool?.close(),
      ...[...now.running.sources.values()].map(({ source }) => source.close()),
    ]);
  }

  private useAccessLog(config: Config): void {
    const { clock, context, listeners, building, reports, now } = this.parts;
    this.accessLog?.flush();
    const rules = () => now.running.rules;
    this.accessLog = createAccessLog(config, { clock, random: building.random, nowUnixMs: Date.now, reports, rules });
    context.accessLog = this.accessLog;
    listeners.setPoolAccessLog(this.accessLog);
  }

  /** Number of fills, refreshes and checks of unsettled writes in progress. */
  private get underWay(): number {
    return this.parts.filler.inFlight + this.parts.scheduler.inFlight + this.parts.unsettled.size;
  }

  /** A worker can only use the sockets that its supervisor opened. */
  private checkSocket(pool: string, address: ListenAddress): void {
    if (this.parts.siblings === null || this.parts.siblings.sockets.has(addressText(address))) return;
    throw new PlatypusError("LISTEN", `pool ${pool}: ${addressText(address)} is new; with workers it needs a restart`);
  }

  private async listen({ server, pools }: Config): Promise<void> {
    const { now, listeners, context } = this.parts;
    for (const address of server.listen) await listeners.open(address, context);
    for (const { name, listen } of pools) {
      const root = now.running.pools.routes.get(name);
      for (const address of root === undefined ? [] : listen) {
        await listeners.openForPool(name, address, root!, context);
      }
    }
  }

  private async openAdmin({ server }: Config): Promise<void> {
    const { siblings, now, own, answers, clock, reports, log } = this.parts;
    if (server.admin === null) return;
    const { address, isDefault } = server.admin;
    const { ADMIN_SOCKET, AdminServer } = await import("../observe/admin/server.ts");
    const socket = siblings?.sockets.get(ADMIN_SOCKET);
    // The supervisor could not open the address, and has logged that.
    if (siblings !== null && socket === undefined) return;
    own.watchProcess();
    answers.begin();
    try {
      this.admin = await AdminServer.open({
        address,
        facts: answers,
        clock: clock,
        reports: reports,
        socket,
        control: this.parts.adminControl,
        hosts: () => now.running.config.server.adminHosts,
      });
    } catch (error) {
      // Another program uses the default admin address: run without it.
      if (!isDefault) throw error;
      log.warn("admin", `${(error as Error).message}; Platypus runs without the admin server`);
    }
  }

  private async openTwemproxyStats({ server: { twemproxyStats: address } }: Config): Promise<void> {
    if (address === null) return;
    const { siblings, now, workers } = this.parts;
    const { TWEMPROXY_STATS_SOCKET, TwemproxyStatsServer } = await import("../observe/stats/twemproxy-server.ts");
    const socket = siblings?.sockets.get(TWEMPROXY_STATS_SOCKET);
    this.twemproxyStats = await TwemproxyStatsServer.open(address, {
      workers,
      config: () => now.running.config,
      socket,
    });
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.parts.clock.setTimer(ms, resolve));
  }
}
