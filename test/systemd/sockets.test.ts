/** Sockets that are open already when Platypus starts, as systemd hands them over. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listenOn, takeSockets } from "../../src/systemd/sockets.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { freePort } from "../support/servers/memcached-process.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
/** Opens a socket for each name, from descriptor 3 on, prints their ports and becomes the program. */
const ACTIVATE = `
import os, socket, sys
names, program = sys.argv[1], sys.argv[2:]
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names.split(":")]
print(" ".join(str(s.getsockname()[1]) for s in sockets), flush=True)
high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
for i, fd in enumerate(high): os.dup2(fd, 3 + i)
os.environ.update(LISTEN_FDS=str(len(high)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
os.execvp(program[0], program)
`;
const SYSTEMD_PROGRAM = "systemd-socket-activate";
const hasSystemd = spawnSync(SYSTEMD_PROGRAM, ["--version"]).status === 0;
const RULES = `[get.a]\nmatch = "a"\nsource = "b"\n[source.b]\ntype = "echo"\ntemplate = "hi"\n`;

let folder: string;
let file: string;
let children: ChildProcess[];

beforeEach(async () => {
  children = [];
  folder = await mkdtemp(path.join(tmpdir(), "platypus-sockets-"));
  file = path.join(folder, "p.toml");
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  await rm(folder, { recursive: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly ports: readonly number[];
  stderr: string;
}

async function activated(names: string, toml: string): Promise<Started> {
  await writeFile(file, toml);
  const args = ["-c", ACTIVATE, names, process.execPath, MAIN, "--config", file];
  const child = spawn("python3", args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env } });
  children.push(child);
  const [line] = await once(child.stdout!.setEncoding("utf8"), "data");
  const started: Started = { child, ports: (line as string).trim().split(" ").map(Number), stderr: "" };
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    started.stderr += text;
  });
  return started;
}

async function answers(port: number): Promise<void> {
  const client = await TextClient.connect(port);
  expect(await client.ask("get a", "END\r\n")).toBe("VALUE a 0 2\r\nhi\r\nEND\r\n");
  client.close();
}

describe("systemd sockets", () => {
  it("replace the addresses of the configuration, and are not closed while clients wait", async () => {
    const own = await freePort();
    const started = await activated("one:two", `[server]\nlisten = "127.0.0.1:${own}"\nadmin = "off"\n${RULES}`);
    for (const port of started.ports) await answers(port);
    await expect(TextClient.connect(own)).rejects.toThrow(/ECONNREFUSED/);
    started.child.kill("SIGTERM");
    expect(await once(started.child, "exit")).toEqual([0, null]);
    expect(started.stderr).toContain("listens on fd:3, fd:4");
  });

  it("may be assigned to the admin server by name", async () => {
    const own = await freePort();
    const started = await activated("p.socket:admin", `[server]\nadmin = "127.0.0.1:${own}"\n${RULES}`);
    const [port, admin] = started.ports;
    await answers(port!);
    expect((await fetch(`http://127.0.0.1:${admin}/readyz`)).status).toBe(200);
    // Bound to loopback, it answers to no other name.
    expect(started.stderr).toContain("admin on fd:4");
    await expect(fetch(`http://127.0.0.1:${own}/readyz`)).rejects.toThrow();
  });

  it("are shared by workers, which keep them when they are replaced", async () => {
    const pool = `[target]\nservers = ["127.0.0.1:${await freePort()}"]\n`;
    const started = await activated("p.socket:admin", `[server]\nworkers = 2\n${pool}${RULES}`);
    const [port, admin] = started.ports;
    await answers(port!);
    expect((await fetch(`http://127.0.0.1:${admin}/healthz`)).status).toBe(200);
    const children = await readFile(`/proc/${started.child.pid}/task/${started.child.pid}/children`, "utf8");
    for (const pid of children.trim().split(" ")) {
      expect(await readFile(`/proc/${pid}/environ`, "utf8")).not.toContain("LISTEN_");
    }
    started.child.kill("SIGUSR2");
    await expect.poll(() => started.stderr, { timeout: 10_000 }).toContain("all workers are replaced");
    await answers(port!);
    started.child.kill("SIGTERM");
    expect(await once(started.child, "exit")).toEqual([0, null]);
  });

  it.skipIf(!hasSystemd)("are passed by systemd's own program with the first client", async () => {
    await writeFile(file, `[server]\nadmin = "off"\n${RULES}`);
    const port = await freePort();
    const args = ["-l", `127.0.0.1:${port}`, process.execPath, MAIN, "--config", file];
    const child = spawn(SYSTEMD_PROGRAM, args, { stdio: ["ignore", "inherit", "pipe"] });
    children.push(child);
    let said = "";
    for (child.stderr!.setEncoding("utf8"); !said.includes("Listening on"); )
      said += (await once(child.stderr!, "data"))[0];
    await answers(port);
  });
});

describe("the socket environment", () => {
  it("applies to one process only, and is removed after it is read", () => {
    const env = { LISTEN_FDS: "2", LISTEN_PID: String(process.pid), LISTEN_FDNAMES: "a:admin", OTHER: "1" };
    expect(takeSockets(env)).toEqual([
      { fd: 3, name: "a" },
      { fd: 4, name: "admin" },
    ]);
    expect(env).toEqual({ OTHER: "1" });
    expect(takeSockets({ LISTEN_FDS: "2", LISTEN_PID: "1" })).toEqual([]);
    expect(takeSockets({ LISTEN_FDS: "1", LISTEN_PID: String(process.pid) })).toEqual([{ fd: 3, name: "" }]);
    expect(takeSockets({ LISTEN_FDS: "some", LISTEN_PID: String(process.pid) })).toEqual([]);
  });
});

describe("the configuration with systemd sockets", () => {
  const plain = nativeConfig(`[server]\nlisten = "127.0.0.1:1"\n${RULES}`);

  it("keeps its addresses if only the admin server gets a socket", () => {
    const { server } = listenOn([{ fd: 3, name: "admin" }], plain);
    expect([server.listen, server.admin?.address]).toEqual([plain.server.listen, { type: "fd", fd: 3 }]);
  });

  it("finds the options of addresses by name, and loses none", () => {
    const text = `[user.a]\npassword = "b"\n[listen.own]\naddress = "127.0.0.1:2"\nreadonly = true\n${RULES}`;
    const config = nativeConfig(text);
    const { access, server } = listenOn(
      [
        { fd: 3, name: "own" },
        { fd: 4, name: "p.socket" },
      ],
      config,
    );
    expect(access.listeners).toMatchObject([{ addresses: [{ type: "fd", fd: 3 }], isReadonly: true }]);
    expect(server.listen).toEqual([
      { type: "fd", fd: 4 },
      { type: "fd", fd: 3 },
    ]);
    expect(() => listenOn([{ fd: 3, name: "p.socket" }], config)).toThrow(/127\.0\.0\.1:2, which has options.*\(own\)/);
    expect(listenOn([{ fd: 3, name: "admin" }], config).server.listen).toEqual(config.server.listen);
  });

  it("is not served in plain text if it requires TLS", () => {
    const server = { ...plain.server, listen: [{ type: "tcp", host: "a", port: 1, isTls: true } as const] };
    expect(() => listenOn([{ fd: 3, name: "" }], { ...plain, server })).toThrow(/tls:/);
  });

  it("finds pools with separate listeners by name", () => {
    const listen = [{ type: "tcp", host: "127.0.0.1", port: 1, isTls: false } as const];
    const [pool] = nativeConfig(`[target]\nservers = ["127.0.0.1:2"]\n`).pools;
    const config = { ...plain, server: { ...plain.server, listen: [] }, pools: [{ ...pool!, name: "alpha", listen }] };
    expect(listenOn([{ fd: 3, name: "alpha" }], config).pools[0]!.listen).toEqual([{ type: "fd", fd: 3 }]);
    expect(() => listenOn([{ fd: 3, name: "p.socket" }], config)).toThrow(
      /FileDescriptorName= to a pool's name \(alpha\)/,
    );
  });
});
