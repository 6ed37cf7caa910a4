/**
 * A real memcached in a process of its own, the judge of what Platypus answers.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const PROGRAM = "/usr/bin/memcached";
const CONNECT_RETRY_MS = 5;
const MAX_CONNECTS = 1_000;
const asked = spawnSync(PROGRAM, ["-V"]);
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface MemcachedOptions {
  readonly port?: number;
  /** A socket file, in place of a port. */
  readonly path?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A memcached on a free port of this machine. Whoever starts one stops it; the end of this process does so too. */
export class MemcachedProcess {
  /** True where memcached is not installed: suites that need it are skipped. */
  static readonly isMissing: boolean = asked.status !== 0;
  /** Such as 1.6.18. */
  static readonly version: string = /\d+\.\d+\.\d+/.exec(asked.stdout?.toString() ?? "")?.[0] ?? "";
  readonly port: number;
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.child = child;
    this.ended = once(child, "close");
    running.add(child);
    child.once("close", () => running.delete(child));
  }

  /** Starts one and waits until it accepts connections. `port`: the one to use, for a server that comes back. */
  static async start(options: MemcachedOptions = {}): Promise<MemcachedProcess> {
    const port = options.port ?? (await freePort());
    const where =
      options.path === undefined ? ["-l", "127.0.0.1", "-p", String(port), "-U", "0"] : ["-s", options.path];
    const args = ["-u", "root", ...where, "-t", "1", ...(options.args ?? [])];
    const env = { ...process.env, ...options.env };
    const started = new MemcachedProcess(port, spawn(PROGRAM, args, { stdio: "ignore", env }));
    for (let i = 0; i < MAX_CONNECTS; i++) {
      if (await accepts(options.path === undefined ? { host: "127.0.0.1", port } : { path: options.path }))
        return started;
      if (started.child.exitCode !== null) break;
      await delay(CONNECT_RETRY_MS);
    }
    await started.stop();
    throw new Error(`memcached does not accept connections on port ${port}`);
  }

  /** It stops answering, with its connections open, as a process that hangs. */
  pause(): void {
    this.child.kill("SIGSTOP");
    // The signal takes effect a moment later.
    while (!/\) T /.test(readFileSync(`/proc/${this.child.pid}/stat`, "latin1")));
  }

  /** It goes on after `pause`. */
  resume(): void {
    this.child.kill("SIGCONT");
  }

  /** Ends it, paused or not. */
  async stop(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function accepts(where: net.NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(where);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
