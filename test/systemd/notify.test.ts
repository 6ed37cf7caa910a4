/** What systemd is told, by a `systemd-notify` that writes it down, and by the real one over a real socket. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServiceManager } from "../../src/systemd/notify.ts";
import { Reports } from "../../src/telemetry/reports.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const ECHO = `[server]
listen = "127.0.0.1:0"
[get.a]
match = "a"
source = "b"
[source.b]
type = "echo"
template = "hi"
`;
/** Receives datagrams and prints each as one line. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print("|".join(s.recv(4096).decode().split("\\n")), flush=True)
`;
const PROGRAM = "systemd-notify";
const hasReal = spawnSync(PROGRAM, ["--version"]).status === 0;

let folder: string;
let told: string;
let env: Record<string, string>;
let processes: (ChildProcess | PlatypusProcess)[];

beforeEach(async () => {
  processes = [];
  folder = await mkdtemp(path.join(tmpdir(), "platypus-systemd-"));
  told = path.join(folder, "told");
  await writeFile(told, "");
  // One line for each message: where it goes, and its variables.
  await writeFile(path.join(folder, PROGRAM), `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> ${told}\n`);
  await chmod(path.join(folder, PROGRAM), 0o755);
  await writeFile(path.join(folder, "p.toml"), ECHO);
  env = { PATH: `${folder}:${process.env.PATH}`, NOTIFY_SOCKET: "/run/fake" };
});

afterEach(async () => {
  for (const each of processes) await (each instanceof PlatypusProcess ? each.stop() : each.kill("SIGKILL"));
  await rm(folder, { recursive: true });
});

const lines = async () => (await readFile(told, "utf8")).split("\n").filter(Boolean);

/** A process is started, and starts another, before there is something to see. */
const soon = <T>(read: () => T) => expect.poll(read, { timeout: 15_000 });

function run(given = env): PlatypusProcess {
  const platypus = PlatypusProcess.run(["--config", path.join(folder, "p.toml")], given);
  processes.push(platypus);
  return platypus;
}

describe("systemd notification", () => {
  it.each([
    ["one process", ECHO],
    ["workers", `${ECHO.replace("[server]", "[server]\nworkers = 2")}[target]\nservers = ["127.0.0.1:1"]\n`],
  ])("of %s reports that it serves, reloads and stops, each once", async (_name, toml) => {
    await writeFile(path.join(folder, "p.toml"), toml);
    const platypus = run();
    await soon(lines).toEqual([expect.stringMatching(/^\/run\/fake READY=1 STATUS=serves on 127.0.0.1:\d+/)]);
    platypus.child.kill("SIGHUP");
    await soon(async () => (await lines()).length).toBe(3);
    const [, reloading, ready] = await lines();
    expect(reloading).toMatch(/^\/run\/fake RELOADING=1 MONOTONIC_USEC=\d+ STATUS=/);
    expect(ready).toMatch(/ READY=1 STATUS=serves on [^;]+$/);
    platypus.child.kill("SIGTERM");
    expect(await platypus.exit()).toBe(0);
    expect((await lines()).slice(3)).toEqual([expect.stringContaining(" STOPPING=1 STATUS=")]);
    expect(platypus.stderr).not.toContain("not told");
  });

  it("reports that the previous configuration is in use after a refused one", async () => {
    const platypus = run();
    await soon(async () => (await lines()).length).toBe(1);
    await writeFile(path.join(folder, "p.toml"), "[nonsense");
    platypus.child.kill("SIGHUP");
    await soon(async () => (await lines()).length).toBe(3);
    expect((await lines())[2]).toMatch(/READY=1 STATUS=serves on .*refused, the one before serves/);
    // And it is still said when nothing has changed since.
    platypus.child.kill("SIGHUP");
    await soon(async () => (await lines()).length).toBe(5);
    expect((await lines())[4]).toContain("refused");
  });

  it("continues with one warning without the program", async () => {
    const platypus = run({ ...env, PATH: "/nonexistent" });
    await platypus.printed(/systemd gets no status messages: systemd-notify: there is no such program/);
    platypus.child.kill("SIGTERM");
    expect(await platypus.exit()).toBe(0);
    expect(platypus.stderr.split("gets no status messages").length).toBe(2);
  });

  it.skipIf(!hasReal)("is understood by the real socket", async () => {
    const socket = path.join(folder, "notify");
    const receiver = spawn("python3", ["-c", RECEIVER, socket], { stdio: ["ignore", "pipe", "inherit"] });
    processes.push(receiver);
    let received = "";
    receiver.stdout!.setEncoding("utf8").on("data", (text: string) => {
      received += text;
    });
    await once(receiver.stdout!, "data");
    const platypus = run({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: "100000" });
    await soon(() => received).toMatch(/READY=1\|STATUS=serves on [\s\S]*WATCHDOG=1[\s\S]*WATCHDOG=1/);
    platypus.child.kill("SIGTERM");
    await soon(() => received).toContain("STOPPING=1|STATUS=");
  });
});

describe("the systemd watchdog", () => {
  const take = (given: Record<string, string>) => {
    const clock = new ManualClock();
    const kept = new KeptLog();
    const environment: NodeJS.ProcessEnv = { ...env, ...given };
    const manager = ServiceManager.take(environment, clock, kept.log, new Reports(kept.log, clock));
    return { clock, kept, manager, environment };
  };

  it("is notified at half its time from the start of serving until the close", async () => {
    const { clock, manager, environment } = take({ WATCHDOG_USEC: "30000000" });
    expect(Object.keys(environment)).toEqual(["PATH"]);
    clock.advance(60_000);
    manager.ready("serves");
    clock.advance(14_999);
    await manager.reload(async () => true);
    expect((await lines()).filter((line) => line.includes("WATCHDOG"))).toEqual([]);
    clock.advance(1);
    await soon(lines).toContain("/run/fake WATCHDOG=1");
    await manager.close();
    clock.advance(60_000);
    await manager.close();
    expect((await lines()).filter((line) => line.includes("WATCHDOG")).length).toBe(1);
  });

  it("is ignored if it belongs to another process", async () => {
    const { clock, manager } = take({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: String(process.pid + 1) });
    manager.ready("serves");
    clock.advance(60_000);
    await manager.close();
    expect(await lines()).toEqual(["/run/fake READY=1 STATUS=serves"]);
  });

  it("is not waited for if its program hangs", async () => {
    await writeFile(path.join(folder, PROGRAM), "#!/bin/sh\nexec sleep 1000\n");
    const { clock, kept, manager } = take({});
    manager.ready("serves");
    manager.stopping();
    let isClosed = false;
    const closing = manager.close().then(() => {
      isClosed = true;
    });
    await soon(() => {
      clock.advance(5_000);
      return isClosed;
    }).toBe(true);
    await closing;
    expect(kept.lines).toEqual([
      expect.stringContaining("systemd gets no status messages: systemd-notify: ended with SIGKILL"),
    ]);
  });

  it("causes a warning if its time is too short", async () => {
    const { kept, manager } = take({ WATCHDOG_USEC: "500000", WATCHDOG_PID: String(process.pid) });
    manager.ready("serves");
    await manager.close();
    expect(kept.lines.join()).toContain("WatchdogSec= is 500 ms");
  });
});
