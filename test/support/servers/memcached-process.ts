/**
 * A real memcached, with which Platypus' replies are compared.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** The server that tests run against; `PLATYPUS_TEST_MEMCACHED` names another build of it. */
const PROGRAM = process.env.PLATYPUS_TEST_MEMCACHED ?? "/usr/bin/memcached";
const CONNECT_RETRY_MS = 5;
const MAX_CONNECTS = 1_000;
const asked = spawnSync(PROGRAM, ["-V"]);
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface MemcachedOptions {
  readonly port?: number;
  /** Another build than the one that tests run against. */
  readonly program?: string;
  /** A socket file, in place of a port. */
  readonly path?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A memcached on a free port of this machine. The test that starts it stops it, and so does the end of this process. */
export class MemcachedProcess {
  /** True if memcached is not installed. Suites that need it are skipped then. */
  static readonly isMissing: boolean = asked.status !== 0;
  /** For example 1.6.18. */
  static readonly version: string = /\d+\.\d+\.\d+/.exec(asked.stdout?.toString() ?? "")?.[0] ?? "";
  /** True if it parses lines as 1.6.40 and later do. */
  static readonly isCurrent: boolean = MemcachedProcess.version.localeCompare("1.6.40", "en", { numeric: true }) >= 0;
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

  /** Starts one and waits until it accepts connections. `port` is for a server that comes back. */
  static async start(options: MemcachedOptions = {}): Promise<MemcachedProcess> {
    const { path: socket, port = -1, program = PROGRAM } = options;
    const where = socket === undefined ? ["-l", "127.0.0.1", "-p", String(port), "-U", "0"] : ["-s", socket];
    const args = ["-u", "root", ...where, "-t", "1", ...(options.args ?? [])];
    // memcached selects the port and writes it to a file: another test may take a port that was free a moment ago.
    const folder = await mkdtemp(path.join(tmpdir(), "memcached-"));
    const portFile = path.join(folder, "port");
    const env = { ...process.env, ...options.env, MEMCACHED_PORT_FILENAME: portFile };
    const child = spawn(program, args, { stdio: "ignore", env });
    running.add(child);
    try {
      for (let i = 0; i < MAX_CONNECTS && child.exitCode === null; i++) {
        const own = socket !== undefined || port !== -1 ? port : portIn(portFile);
        const where = socket === undefined ? { host: "127.0.0.1", port: own ?? 0 } : { path: socket };
        if (own !== null && (await accepts(where))) return new MemcachedProcess(own, child);
        await delay(CONNECT_RETRY_MS);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
    child.kill("SIGKILL");
    throw new Error(`memcached ${args.join(" ")} does not accept connections`);
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

/** A port of 127.0.0.1 that is not in use. */
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

/** The port that memcached has written to a file. `null` if it has not yet. */
function portIn(file: string): number | null {
  try {
    return Number(/INET: (\d+)/.exec(readFileSync(file, "latin1"))?.[1] ?? 0) || null;
  } catch {
    return null;
  }
}
