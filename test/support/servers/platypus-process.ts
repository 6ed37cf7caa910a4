/**
 * Platypus as users run it: a process of the command line.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
const MAIN = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));

/** A running or ended command line. It keeps everything that was printed. */
export class PlatypusProcess {
  stdout = "";
  stderr = "";
  readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;
  private readonly folder: string | null;

  private constructor(child: ChildProcess, folder: string | null) {
    this.child = child;
    this.folder = folder;
    this.ended = once(child, "close");
    // It is killed at the end of the tests if a test has not stopped it.
    running.add(child);
    child.once("close", () => running.delete(child));
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
  }

  /**
   * Starts the command line with `args`, without an admin server unless `env` has one. `shell` are shell commands that run
   * before it in the same process, for limits and redirections.
   */
  static run(
    args: readonly string[],
    env: Record<string, string> = {},
    folder: string | null = null,
    shell = "",
  ): PlatypusProcess {
    const command = [process.execPath, MAIN, ...args];
    const [program, ...rest] = shell === "" ? command : ["/bin/sh", "-c", `${shell}\nexec "$0" "$@"`, ...command];
    const child = spawn(program!, rest, {
      env: { ...process.env, PLATYPUS_SERVER_ADMIN: "off", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new PlatypusProcess(child, folder);
  }

  /** Starts with the configuration `text`, which listens on port 0, and waits until it listens. `shell` is that of `run`. */
  static async start(text: string, shell = ""): Promise<PlatypusProcess> {
    const folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    const file = path.join(folder, "platypus.toml");
    await writeFile(file, text);
    // An empty variable counts as unset: then the file decides.
    const env = /^admin =/m.test(text) ? { PLATYPUS_SERVER_ADMIN: "" } : {};
    const started = PlatypusProcess.run(["--config", file], env, folder, shell);
    await started.printed(/listens on/);
    return started;
  }

  /** The configuration file of `start`. */
  get configFile(): string {
    return path.join(this.folder!, "platypus.toml");
  }

  /** The port it listens on. */
  get port(): number {
    return Number(/listens on [^,\s]*:(\d+)/.exec(this.stderr)![1]);
  }

  /** Resolves when the printed text matches `pattern`. Rejects if the process ends before. */
  async printed(pattern: RegExp): Promise<void> {
    const isThere = () => pattern.test(this.stdout) || pattern.test(this.stderr);
    await new Promise<void>((resolve) => {
      const look = () => {
        if (isThere()) settle();
      };
      const settle = () => {
        for (const stream of [this.child.stdout!, this.child.stderr!]) stream.off("data", look);
        resolve();
      };
      for (const stream of [this.child.stdout!, this.child.stderr!]) stream.on("data", look);
      void this.ended.then(settle);
      look();
    });
    if (!isThere()) throw new Error(`ended without printing ${pattern}:\n${this.stdout}${this.stderr}`);
  }

  /** Resolves to the exit code, or the name of the signal that ended it. */
  async exit(): Promise<number | string> {
    await this.ended;
    return this.child.exitCode ?? this.child.signalCode!;
  }

  /** Kills it and removes its folder. */
  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.ended;
    if (this.folder !== null) await rm(this.folder, { recursive: true, force: true });
  }
}
