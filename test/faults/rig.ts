/** The environment of a scenario: a Platypus process, real servers, an origin and checking clients. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { LyingRelay } from "../fuzz/lying-relay.ts";
import { Random } from "../fuzz/random.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";
import { Checkers } from "./checkers.ts";
import { Origin } from "./origin.ts";
import { configText, type Setup } from "./setup.ts";
import { SmallDisk } from "./small-disk.ts";

/** Room for all values of the floods: a value that a server evicts would look like one that Platypus lost. */
const SERVER_ARGS = ["-m", "2048"];

export class Rig {
  readonly setup: Setup;
  readonly origin: Origin;
  readonly servers: MemcachedProcess[];
  readonly relays: readonly LyingRelay[];
  readonly platypus: PlatypusProcess;
  readonly checkers: Checkers;
  readonly disk: SmallDisk | null;
  readonly port: number;
  readonly tlsPort: number;

  private constructor(
    parts: Pick<Rig, "setup" | "origin" | "servers" | "relays" | "platypus" | "checkers" | "disk" | "port" | "tlsPort">,
  ) {
    this.setup = parts.setup;
    this.origin = parts.origin;
    this.servers = parts.servers;
    this.relays = parts.relays;
    this.platypus = parts.platypus;
    this.checkers = parts.checkers;
    this.disk = parts.disk;
    this.port = parts.port;
    this.tlsPort = parts.tlsPort;
  }

  static async start(setup: Setup, seed: number): Promise<Rig> {
    const origin = await Origin.start();
    const servers = await Promise.all(Array.from({ length: setup.servers }, () => startServer()));
    const relays = setup.isLying ? await Promise.all(servers.map(({ port }) => LyingRelay.start(port))) : [];
    const endpoints = {
      serverPorts: (setup.isLying ? relays : servers).map(({ port }) => port),
      originUrl: origin.url,
    };
    const disk = setup.hasSmallDisk ? new SmallDisk() : null;
    const { platypus, port, tlsPort } =
      disk === null
        ? await startNative(configText(setup, endpoints), setup.shell)
        : await startOnDisk(disk, endpoints.serverPorts);
    const newcomerPorts = [
      { port, isTls: false },
      { port: tlsPort, isTls: true },
    ];
    const checkers = new Checkers({
      port,
      newcomerPorts: setup.hasNewcomers ? newcomerPorts : [],
      hasPages: disk === null,
      seed,
    });
    return new Rig({ setup, origin, servers, relays, platypus, checkers, disk, port, tlsPort });
  }

  get pid(): number {
    return this.platypus.child.pid!;
  }

  get isAlive(): boolean {
    return this.platypus.child.exitCode === null && this.platypus.child.signalCode === null;
  }

  /** The configuration as it was at the start, with other lines for `[target]`. */
  config(target?: string): string {
    const ports = (this.relays.length > 0 ? this.relays : this.servers).map(({ port }) => port);
    return configText(this.setup, { serverPorts: ports, originUrl: this.origin.url }, target);
  }

  /** Replaces the configuration file, and has it read. */
  async reload(text: string): Promise<void> {
    await writeFile(this.platypus.configFile, text);
    this.platypus.child.kill("SIGHUP");
  }

  /** Starts a server again that was stopped, on the same port. */
  async restartServer(index: number): Promise<void> {
    this.servers[index] = await startServer(this.servers[index]!.port);
  }

  /** Makes the relays lie, or tell the truth. */
  setLying(random: Random | null): void {
    for (const relay of this.relays) relay.random = random === null ? null : new Random(random.below(2 ** 31));
  }

  async stop(): Promise<void> {
    await this.checkers.stop();
    await this.platypus.stop();
    await Promise.all(this.relays.map((relay) => relay.stop()));
    await Promise.all(this.servers.map((server) => server.stop()));
    await this.origin.stop();
    this.disk?.remove();
  }
}

interface Started {
  readonly platypus: PlatypusProcess;
  readonly port: number;
  readonly tlsPort: number;
}

function startServer(port?: number): Promise<MemcachedProcess> {
  return MemcachedProcess.start({ args: SERVER_ARGS, ...(port !== undefined && { port }) });
}

async function startNative(text: string, shell = ""): Promise<Started> {
  const platypus = await PlatypusProcess.start(text, shell);
  const [, port, tlsPort] = /listens on 127\.0\.0\.1:(\d+), tls:127\.0\.0\.1:(\d+)/.exec(platypus.stderr)!;
  return { platypus, port: Number(port), tlsPort: Number(tlsPort) };
}

/** mcrouter's form, because it keeps the most on disk: an async log, stats files and kept configurations. */
async function startOnDisk(disk: SmallDisk, serverPorts: readonly number[]): Promise<Started> {
  const file = path.join(disk.folder, "mcrouter.json");
  const pools = { main: { servers: serverPorts.map((port) => `127.0.0.1:${port}`) } };
  await writeFile(file, JSON.stringify({ pools, route: "PoolRoute|main" }));
  const port = await freePort();
  const on = (option: string, folder: string) => [`--${option}`, path.join(disk.folder, folder)];
  const files = [...on("async-dir", "async"), ...on("stats-root", "stats"), ...on("config-dump-root", "dumps")];
  const args = ["-p", String(port), "--listen-addresses=127.0.0.1", "-f", file, "--server-timeout=1000", ...files];
  const platypus = PlatypusProcess.run(args, {}, null, `exec 2>${path.join(disk.folder, "log")}`);
  for (;;) {
    try {
      (await TextClient.connect(port)).close();
      return { platypus, port, tlsPort: 0 };
    } catch (error) {
      if (platypus.child.exitCode !== null) throw error;
    }
  }
}
