/**
 * `platypus [serve] [--config FILE]`: runs until a signal stops it.
 */
import { constants } from "node:fs";
import { writeFile } from "node:fs/promises";
import { resolve as absolute } from "node:path";
import { systemClock } from "../clock.ts";
import {
  type Address,
  addressText,
  type Config,
  type ListenAddress,
  type McrouterConfig,
  warningsOf,
} from "../config/config.ts";
import { readFailure } from "../config/read-failure.ts";
import { type ConfigWatcher, watchConfigFiles } from "../config/watch.ts";
import { ConfigError } from "../errors.ts";
import { leave } from "../leave.ts";
import type { ReadText } from "../mcrouter/config/config.ts";
import { ADMIN_SOCKET, adminError } from "../observe/admin/server.ts";
import { loadedWing, loadWing } from "../observe/mcrouter-wing.ts";
import { ownCommand } from "../packaged.ts";
import { ConfigLoader, type Expected } from "../server/config-loader.ts";
import { openFilesLimit } from "../server/open-files.ts";
import { Platypus } from "../server/platypus.ts";
import { ServiceManager } from "../systemd/notify.ts";
import { type GivenSocket, listenOn, takeSockets } from "../systemd/sockets.ts";
import { Log } from "../telemetry/log.ts";
import { LogOutput, logFile, stderrOutput } from "../telemetry/log-output.ts";
import { logProcessErrors } from "../telemetry/process-errors.ts";
import { Reports } from "../telemetry/reports.ts";
import { packageVersion } from "../version.ts";
import { SharedSocket } from "../workers/shared-socket.ts";
import { Supervisor, socketTexts, WorkerFailed } from "../workers/supervisor.ts";
import { expectedOfWorker, WorkerLink, workerIndex } from "../workers/worker.ts";
import { allocatorSettings, restartWithSettings } from "./allocator.ts";
import { type McrouterInvocation, readInvocation } from "./invocation.ts";
import { preflight } from "./preflight.ts";
import { quickstartFile, startOrigin } from "./quickstart.ts";
import { ruleWarnings } from "./rule-warnings.ts";
import { takeSignals } from "./signals.ts";

const DEFAULT_SETTLE_MS = 1_000;

export const SERVE_HELP = `platypus [serve] [--config FILE] [options]: run until a signal stops it

  platypus                                                 the quickstart
  platypus --config platypus.toml
  platypus --config nutcracker.yml                         twemproxy's file
  platypus --config platypus.toml --listen 0.0.0.0:11211 --listen unix:/run/platypus/memcached.sock
  platypus -p 5000 -f /etc/mcrouter.json --rules rules.toml
  PLATYPUS_SERVER_WORKERS=auto platypus --config platypus.toml

  --config FILE        TOML, mcrouter's JSON or twemproxy's YAML; without it the quickstart runs
  --listen ADDRESS     host:port, tls:host:port, unix:PATH or fd:NUMBER instead of [server] listen; may be repeated
  --rules FILE         TOML with rules and sources to add to a mcrouter configuration

  SIGTERM, SIGINT      answer the requests that were read, then exit with 0; a second signal exits at once
  SIGHUP               reload the configuration
  SIGUSR2              with workers: replace them one after another; otherwise no effect
  SIGTTIN, SIGTTOU     log one level more, one level less, until the next reload
  SIGUSR1              no effect

Under systemd, it uses the sockets that systemd passes, and reports readiness, reloads and stopping.

Exit codes: 0 stopped by a signal, 1 failed while starting or running, 2 wrong usage or configuration; with mcrouter's
options 2 if a retry may help, 3 if not.
`;

/** Starts, and returns when Platypus has stopped. Throws the error that prevents the start. */
export async function serve(args: readonly string[]): Promise<void> {
  const { load: given, file, mcrouter } = await readInvocation(args);
  const isQuickstart = file === null && mcrouter === null;
  const path = isQuickstart ? await quickstartFile() : file;
  const source = mcrouter === null ? { ...given, path } : given;
  const index = workerIndex();
  const link = index === null ? null : await WorkerLink.open(systemClock);
  const environment = { ...process.env };
  const sockets = link?.given ?? takeSockets(process.env);
  const loader = new ConfigLoader({ ...source, env: process.env }, expectedOfWorker());
  const load = async (readFrom?: ReadText) => listenOn(sockets, await loader.load(readFrom));
  const shown = path ?? "the command line";

  const log = new Log({ level: "info", form: "text" }, mcrouter === null ? undefined : logFileOf(mcrouter));
  logProcessErrors(log);
  for (const note of mcrouter?.notes ?? []) log.warn("options", note);
  const reports = new Reports(log, systemClock);
  const manager = ServiceManager.take(process.env, systemClock, log, reports);
  let watcher: ConfigWatcher | null = null;
  try {
    const config = await loadFirst(load, mcrouter, log);
    log.configure(config.server.log);
    if (mcrouter?.wants === "validate") {
      log.info("config", `${shown}: no problems`);
      return;
    }
    if (mcrouter !== null && (index ?? 0) === 0) await beginLikeMcrouter(config, mcrouter, reports);
    if (config.server.workers > 1 && index === null) {
      await supervise({ config, sockets, args, shown, log, manager, expected: loader.expected });
      return;
    }
    if (config.server.maxMemoryBytes > 0 && index === null) restartWithSettings(environment, path);
    const origin = isQuickstart ? await startOrigin(config) : null;
    const platypus = await Platypus.start(config, { log, reports, siblings: link });
    let isGood = true;
    const onChange = async () => {
      isGood = await reload({ platypus, load, path: shown, log, reports });
      watcher?.loaded(loader.contents);
      return isGood;
    };
    if (!(mcrouter?.options.toggle("disable_reload_configs") ?? false) && loader.contents.size > 0) {
      watcher = watchConfigFiles({
        path: path === null ? null : absolute(path),
        loaded: loader.contents,
        clock: systemClock,
        settleMs: mcrouter?.options.integer("reconfiguration_delay_ms") ?? DEFAULT_SETTLE_MS,
        onChange: () => manager.reload(onChange),
        onError: (error) => log.warn("config", `${shown}: ${readFailure(error)}; the configuration in use stays`),
        onUnwatched: (folder, error) =>
          log.warn("config", `${folder} cannot be watched (${error.message}); its files are checked every 2 s`),
      });
    }
    // Resolves when no reload is in progress.
    const look = () =>
      manager.reload(async () => {
        await watcher?.check();
        return isGood;
      });
    // Install the signal handlers before any program learns the process id.
    const whenStopped = stopped({
      platypus,
      watcher,
      look: () => void look().then(() => link?.reloaded(isGood)),
      log,
      manager,
      isWorker: link !== null,
    });
    link?.ready();
    if (link === null) {
      announce(platypus, config, shown, isQuickstart, log);
      manager.ready(`serves on ${platypus.addresses.map(addressText).join(", ")}`);
    }
    if (link === null && mcrouter !== null)
      log.info("serve", "mcrouter's options set the addresses: all interfaces, unless they name one");
    await whenStopped;
    link?.close();
    await origin?.close();
  } finally {
    watcher?.close();
    await manager.close();
  }
}

interface Supervised {
  readonly config: Config;
  readonly sockets: readonly GivenSocket[];
  readonly args: readonly string[];
  readonly shown: string;
  readonly log: Log;
  readonly manager: ServiceManager;
  /** Required properties of the configuration in workers that start later. */
  readonly expected: Expected | null;
}

/** Runs the workers of an address until a signal stops them. */
async function supervise({ config, sockets: given, args, shown, log, manager, expected }: Supervised): Promise<void> {
  const { listen, workers: count } = config.server;
  const sockets: SharedSocket[] = [];
  const all = [...listen, ...config.pools.flatMap((pool) => pool.listen)];
  try {
    for (const address of all) sockets.push(await SharedSocket.open(address));
  } catch (error) {
    for (const socket of sockets) socket.close();
    throw error;
  }
  const admin = await openAdminSocket(config, log);
  if (admin !== null) sockets.push(admin);
  const statistics = config.server.twemproxyStats;
  if (statistics !== null) sockets.push(await openStatistics(statistics));
  const env = config.server.maxMemoryBytes > 0 ? allocatorSettings(process.env) : {};
  const options = {
    count,
    sockets,
    given,
    command: [...ownCommand(), ...args],
    env,
    expected,
    clock: systemClock,
    log,
  };
  const supervisor = new Supervisor(options);
  const whenStopped = supervised(supervisor, log, manager);
  let isStarted: boolean;
  try {
    isStarted = await supervisor.start();
  } catch (error) {
    if (!(error instanceof WorkerFailed)) throw error;
    // The worker has logged the reason.
    leave(error.exitCode);
  }
  if (!isStarted) {
    await whenStopped;
    return;
  }
  const listening = socketTexts(sockets.slice(0, all.length));
  log.info("serve", `platypus ${packageVersion} listens on ${listening}, config ${shown}, ${count} workers`);
  if (admin !== null) log.info("serve", `admin on ${adminText(admin.address)}`);
  logWarnings(config, log);
  manager.ready(`serves on ${listening} with ${count} workers`);
  await whenStopped;
}

/** `null` if the admin server is off, or if its address is the default and in use. */
async function openAdminSocket({ server: { admin } }: Config, log: Log): Promise<SharedSocket | null> {
  if (admin === null) return null;
  try {
    return await SharedSocket.open(admin.address, ADMIN_SOCKET);
  } catch (error) {
    const told = adminError(
      admin.address,
      error instanceof Error && error.cause instanceof Error ? error.cause : (error as Error),
    );
    if (!admin.isDefault) throw told;
    log.warn("admin", `${told.message}; Platypus runs without the admin server`);
    return null;
  }
}

async function openStatistics(address: Address): Promise<SharedSocket> {
  const { TWEMPROXY_STATS_SOCKET, twemproxyStatsError } = await import("../observe/stats/twemproxy-server.ts");
  try {
    return await SharedSocket.open(address, TWEMPROXY_STATS_SOCKET);
  } catch (error) {
    throw twemproxyStatsError(
      address,
      error instanceof Error && error.cause instanceof Error ? error.cause : (error as Error),
    );
  }
}

/** Resolves when a signal has stopped all workers. */
function supervised(supervisor: Supervisor, log: Log, manager: ServiceManager): Promise<void> {
  return new Promise((resolve) => {
    // While no worker runs, only this timer keeps the process alive.
    const alive = setInterval(() => {}, 2 ** 30);
    let isStopping = false;
    const stop = (signal: NodeJS.Signals) => {
      if (isStopping) {
        log.warn("serve", `${signal} again: stopping at once`);
        void supervisor.stop("SIGKILL").then(() => leave(1));
        return;
      }
      isStopping = true;
      log.info("serve", `${signal}: the workers answer the requests that they have read, then stop`);
      manager.stopping();
      void supervisor.stop("SIGTERM").then(() => {
        clearInterval(alive);
        log.info("serve", "stopped");
        resolve();
      });
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    process.on("SIGHUP", () => void manager.reload(() => supervisor.reload()));
    takeSignals(log, { pass: (signal) => supervisor.signal(signal), replaceWorkers: () => void supervisor.replace() });
  });
}

/**
 * The configuration to start with. As in mcrouter, if mcrouter's configuration is invalid, the last good one that was
 * kept is used. Rejects with a ConfigError.
 */
async function loadFirst(
  load: (readFrom?: ReadText) => Promise<Config>,
  mcrouter: McrouterInvocation | null,
  log: Log,
): Promise<Config> {
  try {
    return await load();
  } catch (error) {
    const root = mcrouter?.options.optionalText("config_dump_root") ?? null;
    const maxAgeSeconds = mcrouter?.options.integer("max_dumped_config_age") ?? 0;
    if (!(error instanceof ConfigError) || root === null || maxAgeSeconds === 0 || mcrouter?.wants !== "run")
      throw error;
    const { dumpPlaceOf, readDump } = await loadWing();
    const place = dumpPlaceOf(mcrouter.options, root);
    const config = await load(readDump(place, maxAgeSeconds, systemClock)).catch(() => null);
    if (config === null) throw error;
    const lines = error.message.split("\n");
    log.error("config", [`the configuration cannot be used, the last good one from ${root} serves:`, ...lines]);
    return config;
  }
}

/** Writes the files that mcrouter writes at startup. */
async function beginLikeMcrouter(
  { mcrouter: own }: Config,
  { options }: McrouterInvocation,
  reports: Reports,
): Promise<void> {
  const pidFile = options.optionalText("pid_file");
  if (pidFile !== null) {
    // O_NONBLOCK: opening a pipe without a reader would block.
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK } = constants;
    const flag = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK;
    await reports.make("pid_file", () => writeFile(pidFile, `${process.pid}\n`, { flag }));
  }
  if (own !== null) await keepConfig(own, reports);
}

/** Keeps a good configuration for a later start with an invalid one. */
async function keepConfig(own: McrouterConfig, reports: Reports): Promise<void> {
  const { dumpRoot, isFromDump } = own;
  if (dumpRoot === null || isFromDump) return;
  const { dumpConfig } = await loadWing();
  await reports.make("kept_config", () => dumpConfig({ ...own, root: dumpRoot }, own));
}

function announce(platypus: Platypus, config: Config, path: string, isQuickstart: boolean, log: Log): void {
  const listens = platypus.addresses.map(addressText);
  const servers = config.pools.reduce((sum, pool) => sum + pool.servers.length, 0);
  const target =
    config.pools.length === 0 && config.tree === null
      ? "in-process store (for development and single hosts; set [target] servers for a pool)"
      : `${servers} server${servers === 1 ? "" : "s"}${config.pools.length > 1 ? ` in ${config.pools.length} pools` : ""}`;
  log.info("serve", `platypus ${packageVersion} listens on ${listens.join(", ")}, config ${path}`);
  const { adminAddress } = platypus;
  if (adminAddress !== null) log.info("serve", `admin on ${adminText(adminAddress)}`);
  log.info("serve", `pool: ${target}; ${config.rules.length} rules, ${config.sources.length} sources`);
  logWarnings(config, log);
  const tcp = platypus.addresses.find((address) => address.type === "tcp");
  if (isQuickstart && tcp?.type === "tcp") {
    const say = (...lines: string[]) => process.stdout.write(`\n${lines.join("\n")}\n\n`);
    say(
      `Try:  printf 'get quickstart/hello\\r\\n' | nc -q1 ${tcp.host} ${tcp.port}`,
      "For a configuration of your own:  platypus init",
    );
  }
}

/** Logs warnings about a valid configuration. Warnings that need lookups follow later. */
function logWarnings(config: Config, log: Log): void {
  const ofTree = config.tree === null ? [] : loadedWing().treeWarnings(config);
  for (const warning of [...warningsOf(config), ...ruleWarnings(config), ...ofTree]) log.warn("config", warning);
  void preflight(config, { env: process.env, filesLimit: openFilesLimit() }).then((warnings) => {
    for (const warning of warnings) log.warn("config", warning);
  });
}

function adminText(address: ListenAddress): string {
  return address.type !== "tcp" ? addressText(address) : `http://${addressText(address)}/`;
}

/** `--log-path`: the log file. While it cannot be written, lines go to stderr. */
function logFileOf({ options }: McrouterInvocation): LogOutput | undefined {
  const file = options.optionalText("log_file");
  return file === null ? undefined : new LogOutput(logFile(file), stderrOutput());
}

interface Reloading {
  readonly platypus: Platypus;
  /** For messages. */
  readonly path: string;
  readonly log: Log;
  readonly reports: Reports;
  load(): Promise<Config>;
}

/** Resolves to true if the new configuration is in use. */
async function reload({ platypus, load, path, log, reports }: Reloading): Promise<boolean> {
  try {
    const config = await load();
    await platypus.takeOver(config);
    if (config.mcrouter !== null) await keepConfig(config.mcrouter, reports);
    log.info("config", `${path}: reloaded`);
    logWarnings(config, log);
    return true;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    platypus.refuseReload(text);
    log.error("config", [`${path}: not reloaded, the configuration in use stays:`, ...text.split("\n")]);
    return false;
  }
}

interface Stoppable {
  readonly platypus: Platypus;
  readonly watcher: ConfigWatcher | null;
  readonly log: Log;
  readonly manager: ServiceManager;
  /** A signal to all processes reaches a worker more than once: only the supervisor handles a repeated signal. */
  readonly isWorker: boolean;
  /** Checks the configuration files for changes. */
  look(): void;
}

/** Resolves when a signal has stopped Platypus. */
function stopped({ platypus, watcher, look, log, manager, isWorker }: Stoppable): Promise<void> {
  return new Promise((resolve) => {
    // Keeps the process alive even if no other handle does.
    const alive = setInterval(() => {}, 2 ** 30);
    let isStopping = false;
    const stop = (signal: NodeJS.Signals) => {
      if (isStopping) {
        if (isWorker) return;
        log.warn("serve", `${signal} again: stopping at once`);
        leave(1);
      }
      isStopping = true;
      log.info("serve", `${signal}: answering the requests that were read, then stopping`);
      manager.stopping();
      watcher?.close();
      void platypus.drain().then(() => {
        clearInterval(alive);
        process.removeAllListeners("SIGHUP");
        log.info("serve", "stopped");
        resolve();
      });
    };
    process.on("SIGTERM", stop);
    // A terminal sends the signal to the workers and to the supervisor, which signals the workers again: ignore the
    // first.
    process.on("SIGINT", isWorker ? () => {} : stop);
    process.on("SIGHUP", look);
    takeSignals(log, {});
  });
}
