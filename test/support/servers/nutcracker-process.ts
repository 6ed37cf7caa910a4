/**
 * A real twemproxy, with which Platypus is compared.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./memcached-process.ts";

const PROGRAM = "/usr/sbin/nutcracker";
const CONNECT_RETRY_MS = 5;
const MAX_CONNECTS = 1_000;
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export class NutcrackerProcess {
  /** True where twemproxy is not installed: suites that need it are skipped. */
  static readonly isMissing: boolean = spawnSync(PROGRAM, ["-V"]).status !== 0;
  /** Port of its statistics. */
  readonly statsPort: number;
  private readonly child: ChildProcess;
  private readonly folder: string;
  private readonly ended: Promise<unknown>;

  private constructor(child: ChildProcess, folder: string, statsPort: number) {
    this.statsPort = statsPort;
    this.child = child;
    this.folder = folder;
    this.ended = once(child, "close");
    running.add(child);
    child.once("close", () => running.delete(child));
  }

  /** Starts with the configuration `yaml` and waits until it accepts connections on `port`. */
  static async start(yaml: string, port: number): Promise<NutcrackerProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "nutcracker-"));
    const file = path.join(folder, "nutcracker.yml");
    await writeFile(file, yaml);
    const statsPort = await freePort();
    const stats = ["-a", "127.0.0.1", "-s", String(statsPort)];
    const own = ["-o", path.join(folder, "log"), "-p", path.join(folder, "pid")];
    const child = spawn(PROGRAM, ["-c", file, ...stats, ...own], { stdio: "ignore" });
    const started = new NutcrackerProcess(child, folder, statsPort);
    for (let i = 0; i < MAX_CONNECTS && started.child.exitCode === null; i++) {
      if (await accepts(port)) return started;
      await delay(CONNECT_RETRY_MS);
    }
    await started.stop();
    throw new Error(`nutcracker does not accept connections on port ${port}`);
  }

  async stop(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
    await rm(this.folder, { recursive: true });
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
