/**
 * The life of a Platypus: starts the parts that assembly.ts has made, has them take over what a new configuration changes
 * (running.ts builds that), drains and stops them.
 */

import { addressText, type Config, type ListenAddress } from "../config/config.ts";
import { needsRestart } from "../config/needs-restart.ts";
import { PlatypusError } from "../errors.ts";
import type { AdminServer } from "../observe/admin/server.ts";
import { loadWing } from "../observe/mcrouter-wing.ts";
import { isHolding, replaceBackends } from "../proxy/route/pools.ts";
import type { PoolPort } from "../refresh/pool/pool-port.ts";
import { retireSources } from "../sources/build.ts";
import { type Assembly, assemble, type PlatypusOptions } from "./assembly.ts";
import { roomForClients } from "./open-files.ts";
import { buildRunning, type Running, rootOf } from "./running.ts";

const DRAIN_POLL_MS = 10;
/** So long a drain waits for the last answers of the admin server. */
const LAST_ANSWERS_MS = 1_000;

/** What is left of a reload. */
interface DueReload {
  /** Nothing goes through the routes before it any more. */
  isQuiet: boolean;
  end(): void;
}

/** A running Platypus. */
export class Platypus {
  private readonly parts: Assembly;
  /** What fills and refreshes ask the pool through: that of the running configuration, or of one before until its requests are answered. */
  private port: PoolPort;
  /** Reloads before which requests of clients are under way, oldest first. */
  private readonly reloadsDue: DueReload[] = [];
  private admin: AdminServer | null = null;
  /** Settled when the admin server has answered everybody; at once where it has not been told to leave. */
  private left: Promise<void> = Promise.resolve();

  private constructor(parts: Assembly) {
    this.parts = parts;
    this.port = parts.now.running.port;
    // From then on the others answer there: that this one drains is not the state of all.
    parts.siblings?.onReplaced(() => {
      this.parts.readiness.hasSuccessor = true;
      this.left = this.admin?.leave() ?? this.left;
    });
  }

  /** Starts to listen with `config`. Throws a PlatypusError when an address cannot be had; then nothing is left running. */
  static async start(config: Config, options: PlatypusOptions = {}): Promise<Platypus> {
    if (config.mcrouter !== null) await loadWing();
    const parts = assemble(config, options);
    const platypus = new Platypus(parts);
    try {
      parts.readiness.greetBackends();
      await platypus.listen(config);
      await platypus.openAdmin(config);
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

  /** Where the admin server listens, with the real port; null: there is none. */
  get adminAddress(): ListenAddress | null {
    return this.admin?.address ?? null;
  }

  /** Where it listens, with the real ports. */
  get addresses(): readonly ListenAddress[] {
    return this.parts.listeners.addresses;
  }

  /**
   * As `reload`, with the addresses of pools that are new. Rejects with a PlatypusError when one of them cannot be had; then
   * nothing has changed.
   */
  async takeOver(config: Config): Promise<void> {
    for (const { name, listen } of config.pools) {
      for (const address of listen) this.checkSocket(name, address);
    }
    await this.parts.listeners.openNewPools(config.pools, this.parts.context);
    this.reload(config);
  }

  /**
   * Goes on with `config`: connections and requests under way stay, what is unchanged lives on. Settings that need a
   * restart keep their value and are named in the log.
   */
  reload(config: Config): void {
    const { now, log, context, filler, listeners, reloads, otlp } = this.parts;
    const previous = now.running;
    for (const line of needsRestart(previous.config, config)) log.warn("config", line);
    const next = buildRunning(config, previous, this.parts.building);
    now.running = next;
    now.roomForClients = roomForClients(config, this.parts.filesLimit);
    log.configure(config.server.log);
    const begin = replaceBackends(previous.pools, next.pools);
    // What holds requests back waits for those of clients that are under way, and these may wait for a fill.
    const isPortDue = this.reloadsDue.length > 0 || isHolding(next.pools);
    if (isPortDue) this.replaceRules();
    else this.usePort(next);
    context.root = rootOf(next, filler, this.underWay === 0, this.parts.clock);
    context.limits = config.server;
    const due: DueReload = {
      isQuiet: false,
      end: () => {
        if (isPortDue) this.usePort(next);
        begin();
      },
    };
    this.reloadsDue.push(due);
    listeners.waitForAll(() => {
      due.isQuiet = true;
      // In their order: a client that has left is waited for by the reloads before it left only.
      while (this.reloadsDue[0]?.isQuiet) this.reloadsDue.shift()!.end();
    });
    listeners.replacePools(config.pools, next.pools.routes);
    reloads.taken();
    listeners.renew();
    otlp.replace(previous.config.telemetry, config.telemetry);
    retireSources(previous.sources, next.sources, (name, error) =>
      log.warn("source", `${name}: not closed: ${String(error)}`),
    );
  }

  /** Fills and refreshes ask the pool through the port of `running`, from now on. */
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

  /** Says in `stats` that a configuration was refused; the one before goes on serving. */
  refuseReload(message: string): void {
    this.parts.reloads.refused(message);
  }

  /**
   * Stops accepting, answers everything that was read, and closes each client when it is done; cuts off those that are
   * still there after the drain time-out. Then as `close`.
   */
  async drain(): Promise<void> {
    const { clock, now, readiness, scheduler, listeners } = this.parts;
    readiness.isDraining = true;
    scheduler.stop();
    listeners.drain();
    const endMs = clock.nowMs() + now.running.config.server.drainTimeoutMs;
    // Fetches under way are waited for too: the leases they hold would keep other processes from fetching. So are writes with
    // an unknown outcome: they may leave a value behind that a client's write has overtaken.
    const isBusy = () => this.underWay > 0 || listeners.hasClients;
    while (isBusy() && clock.nowMs() < endMs) await this.pause(DRAIN_POLL_MS);
    // Of those who asked the admin server before it left one may still wait for its answer.
    await Promise.race([this.left, this.pause(LAST_ANSWERS_MS)]);
    await this.close();
  }

  /** Closes everything at once. */
  async close(): Promise<void> {
    const { now, scheduler, unsettled, openFiles, memory, listeners, own, answers, otlp, selfReport, spool } =
      this.parts;
    scheduler.stop();
    unsettled.stop();
    openFiles.stop();
    memory.stop();
    listeners.close();
    for (const backend of now.running.pools.backends.values()) backend.close();
    own.stop();
    answers.stop();
    await Promise.all([
      this.admin?.close(),
      otlp.stop(),
      selfReport?.stop(),
      spool?.close(),
      ...[...now.running.sources.values()].map(({ source }) => source.close()),
    ]);
  }

  /** Fills, refreshes and checks of unsettled writes. */
  private get underWay(): number {
    return this.parts.filler.inFlight + this.parts.scheduler.inFlight + this.parts.unsettled.size;
  }

  /** A worker has the sockets that its supervisor opened, and no others. */
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
    // The supervisor could not have it, and has said so.
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
        hosts: () => now.running.config.server.adminHosts,
      });
    } catch (error) {
      // Another Platypus of this machine has it, or whatever else: nobody has asked for this very address.
      if (!isDefault) throw error;
      log.warn("admin", `${(error as Error).message}; goes on without`);
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.parts.clock.setTimer(ms, resolve));
  }
}
