/**
 * `platypus [serve] [--config FILE]`: runs until it is told to stop.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { systemClock } from "../clock.ts";
import { addressText, type Config, warningsOf } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { type ConfigWatcher, watchConfigFile } from "../config/watch.ts";
import { UsageError } from "../errors.ts";
import { Platypus } from "../platypus.ts";
import { Log } from "../telemetry/log.ts";
import { templateHooks } from "../template-hooks.ts";
import { packageVersion } from "../version.ts";
import { startOrigin } from "./quickstart-origin.ts";

const QUICKSTART = fileURLToPath(new URL("../../config/quickstart.toml", import.meta.url));

/** Starts and stays; returns when everything has been stopped. Throws what makes starting impossible. */
export async function serve(args: readonly string[]): Promise<void> {
  const { config: file, listen } = parseOptions(args);
  const isQuickstart = file === undefined;
  const path = file ?? QUICKSTART;
  const overrides: Record<string, string> = listen.length === 0 ? {} : { "server.listen": listen.join(",") };
  const load = () => loadConfig({ path, env: process.env, overrides, hooks: templateHooks });

  // The watcher knows the content before it is loaded, so that no change from here on is missed.
  let onChange = async () => {};
  const log = new Log({ level: "info", form: "text" });
  let others: readonly string[] = [];
  const watcher = watchConfigFile({
    path,
    others: () => others,
    clock: systemClock,
    onChange: () => void onChange(),
    onError: (error) => log.warn("config", `${path}: ${error.message}; the configuration in use stays`),
  });
  try {
    await watcher.check();
    const config = await load();
    others = config.files;
    log.configure(config.server.log);
    const origin = isQuickstart ? await startOrigin(config) : null;
    const platypus = await Platypus.start(config, { log });
    onChange = async () => {
      others = (await reload(platypus, load, path, log)) ?? others;
    };
    // Signals are heard before anybody is told that there is somebody to send them to.
    const whenStopped = stopped(platypus, watcher, log);
    announce(platypus, config, path, isQuickstart, log);
    await whenStopped;
    await origin?.close();
  } finally {
    watcher.close();
  }
}

function parseOptions(args: readonly string[]): { config: string | undefined; listen: string[] } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { config: { type: "string" }, listen: { type: "string", multiple: true } },
    });
    return { config: values.config, listen: values.listen ?? [] };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function announce(platypus: Platypus, config: Config, path: string, isQuickstart: boolean, log: Log): void {
  const listens = platypus.addresses.map(addressText);
  const pools = config.pools.map(({ servers }) => `${servers.length} server${servers.length === 1 ? "" : "s"}`);
  const target =
    pools.length === 0
      ? "in-process store (for development and single hosts; set [target] servers for a pool)"
      : pools.join(", ");
  log.info("serve", `platypus ${packageVersion} listens on ${listens.join(", ")}, config ${path}`);
  log.info(
    "serve",
    `pool${pools.length > 1 ? "s" : ""}: ${target}; ${config.rules.length} rules, ${config.sources.length} sources`,
  );
  for (const warning of warningsOf(config)) log.warn("config", warning);
  const tcp = platypus.addresses.find((address) => address.type === "tcp");
  if (isQuickstart && tcp?.type === "tcp") {
    process.stdout.write(`\nTry:  printf 'get quickstart/hello\\r\\n' | nc -q1 ${tcp.host} ${tcp.port}\n\n`);
  }
}

/** Files to be watched from now on; null: those of before. */
async function reload(
  platypus: Platypus,
  load: () => Promise<Config>,
  path: string,
  log: Log,
): Promise<readonly string[] | null> {
  try {
    const config = await load();
    platypus.reload(config);
    log.info("config", `${path}: reloaded`);
    return config.files;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    platypus.refuseReload(text);
    log.error("config", `${path}: not reloaded, the configuration in use stays:\n${text}`);
    return null;
  }
}

/** Resolves when a signal has stopped Platypus. */
function stopped(platypus: Platypus, watcher: ConfigWatcher, log: Log): Promise<void> {
  return new Promise((resolve) => {
    // Keeps the process alive whatever else lets go of the event loop.
    const alive = setInterval(() => {}, 2 ** 30);
    let isStopping = false;
    const stop = (signal: NodeJS.Signals) => {
      if (isStopping) {
        log.warn("serve", `${signal} again: stopping at once`);
        process.exit(1);
      }
      isStopping = true;
      log.info("serve", `${signal}: answering what was read, then stopping`);
      watcher.close();
      void platypus.drain().then(() => {
        clearInterval(alive);
        process.removeAllListeners("SIGHUP");
        log.info("serve", "stopped");
        resolve();
      });
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    process.on("SIGHUP", () => void watcher.check());
  });
}
