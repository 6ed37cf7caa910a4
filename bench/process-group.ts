/**
 * The processes that a benchmark started. They are stopped by process id when the benchmark ends for any reason. A
 * process that ends by itself makes the benchmark fail.
 */

import { type ChildProcess, fork, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const readyMs = 10_000;
const stopMs = 3000;
const keptOutput = 2000;

/** An error that the user can correct: printed without a stack. */
export class BenchError extends Error {}

export class ProcessGroup {
  /** Rejects when a process ends without a stop; never resolves. */
  readonly failed: Promise<never>;
  readonly #running = new Set<ChildProcess>();
  #onFailed: (error: Error) => void = () => {};

  constructor() {
    this.failed = new Promise((_, reject) => {
      this.#onFailed = reject;
    });
    this.failed.catch(() => {}); // the caller that awaits it gets the error
    process.once("exit", () => {
      for (const child of this.#running) child.kill("SIGKILL");
    });
  }

  /** Starts a program and returns its process id. */
  start(name: string, command: string, args: readonly string[]): number {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#watch(name, child);
    if (child.pid === undefined) throw new BenchError(`${name}: ${command} could not be started`);
    return child.pid;
  }

  /** Starts a Node module with an IPC channel. */
  fork(name: string, modulePath: string, args: readonly string[]): ChildProcess {
    const child = fork(modulePath, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
    this.#watch(name, child);
    return child;
  }

  /** Stops one process and waits for its end; kills it if it does not end. */
  async stop(child: ChildProcess): Promise<void> {
    if (!this.#running.delete(child)) return;
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const impatience = setTimeout(() => {
      child.kill("SIGKILL");
      child.stdout?.destroy(); // child processes may hold these open
      child.stderr?.destroy();
    }, stopMs);
    child.kill("SIGTERM");
    await closed;
    clearTimeout(impatience);
  }

  /** Stops a program by its process id. */
  async stopPid(pid: number): Promise<void> {
    const child = [...this.#running].find((each) => each.pid === pid);
    if (child !== undefined) await this.stop(child);
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((child) => this.stop(child)));
  }

  #watch(name: string, child: ChildProcess): void {
    let output = "";
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-keptOutput);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    if (child.pid !== undefined) this.#running.add(child);
    child.once("error", (error) => this.#onFailed(new BenchError(`${name}: ${error.message}`)));
    // "close" instead of "exit": then its last output has been read.
    child.once("close", (code, signal) => {
      if (this.#running.delete(child)) {
        this.#onFailed(new BenchError(`${name} ended by itself (${signal ?? `exit code ${code}`})\n${output}`.trim()));
      }
    });
  }
}

/** The program's path, from PATH and the usual folders of daemons. `null` if it is not installed. */
export function findProgram(name: string): string | null {
  for (const folder of [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/usr/bin"]) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return null;
}

/** Different loopback ports that are free at the moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = servers.map(portOf);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a listening TCP server has a port");
  return address.port;
}

/** Resolves when connections are accepted; rejects after ten seconds. `port` is 0 if `host` is the path of a Unix socket. */
export async function accepting(name: string, host: string, port: number): Promise<void> {
  const startMs = performance.now();
  while (!(await canConnect(host, port))) {
    if (performance.now() - startMs > readyMs) {
      throw new BenchError(`${name}: nothing accepts connections on ${host}:${port}`);
    }
    await sleep(20);
  }
}

function canConnect(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port === 0 ? { path: host } : { host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
