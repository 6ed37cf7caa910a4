/** Several processes on one address. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parsePrometheus, sampleValue } from "../support/clients/prometheus-text.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";
import { ScriptedBackend } from "../support/servers/scripted-backend.ts";

let memcached: MemcachedProcess;
let platypus: PlatypusProcess | null;

beforeEach(async () => {
  memcached = await MemcachedProcess.start();
  platypus = null;
});

afterEach(async () => {
  await platypus?.stop();
  await memcached.stop();
});

function toml(listen = "127.0.0.1:0"): string {
  return `[server]
listen = "${listen}"
workers = 2
[target]
servers = ["127.0.0.1:${memcached.port}"]
[get.echo]
match = "echo/(.*)"
source = "echo"
[source.echo]
type = "echo"
template = "hi {1}"
`;
}

async function start(text = toml()): Promise<PlatypusProcess> {
  platypus = await PlatypusProcess.start(text);
  return platypus;
}

/** Process ids of its workers. */
async function workersOf({ child }: PlatypusProcess): Promise<number[]> {
  const { readFile } = await import("node:fs/promises");
  const text = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

/** A client that was answered and does not leave when it is told to: a drain waits for it. */
async function stay(port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.write("version\r\n");
  await once(socket, "data");
  return socket;
}

/** Connects again and again, with one get each, until it is stopped. What went wrong is counted. */
function load(port: number) {
  const count = { answered: 0, wrong: 0, refused: 0 };
  let isStopped = false;
  const one = (i: number) =>
    new Promise<void>((resolve) => {
      let answer = "";
      const socket = net.connect(port, "127.0.0.1", () => socket.write(`get echo/${i}\r\n`));
      socket.on("data", (chunk) => {
        answer += chunk.toString();
        if (answer.endsWith("END\r\n")) socket.end();
      });
      socket.on("error", () => {
        count.refused++;
      });
      socket.on("close", () => {
        if (answer === `VALUE echo/${i} 0 ${3 + String(i).length}\r\nhi ${i}\r\nEND\r\n`) count.answered++;
        else count.wrong++;
        resolve();
      });
    });
  const client = async (first: number) => {
    for (let i = first; !isStopped; i += 4) await one(i);
  };
  const done = Promise.all([0, 1, 2, 3].map(client));
  const stop = async () => {
    isStopped = true;
    await done;
    return count;
  };
  return { count, stop };
}

describe.skipIf(MemcachedProcess.isMissing)("workers", () => {
  it("serve one address together, with stats of all workers", async () => {
    const { port } = await start();
    const clients = await Promise.all(Array.from({ length: 8 }, () => TextClient.connect(port)));
    for (const [i, client] of clients.entries()) {
      expect(await client.ask(`get echo/${i}`, "END\r\n")).toContain(`hi ${i}`);
    }
    const stats = await clients[0]!.ask("stats", "END\r\n");
    expect(stats).toContain("STAT cmd_get 8\r\n");
    expect(stats).toContain("STAT curr_connections 8\r\n");
    expect(stats).toMatch(/STAT limit_maxbytes 67108864\r\n/);
    expect(await clients[0]!.ask("stats platypus", "END\r\n")).toContain("STAT rule:echo:filled 8\r\n");
    await clients[1]!.ask("stats reset", "RESET\r\n");
    await expect.poll(() => clients[0]!.ask("stats", "END\r\n")).toContain("STAT cmd_get 0\r\n");
    for (const client of clients) client.close();
  });

  it("accept max_connections clients together, not each", async () => {
    const { port } = await start(toml().replace("workers = 2", "workers = 2\nmax_connections = 10"));
    const answers: string[] = [];
    const clients: TextClient[] = [];
    for (let i = 0; i < 20; i++) {
      const client = await TextClient.connect(port);
      clients.push(client);
      // Each worker has heard of the other's clients when the next one comes.
      answers.push(await client.ask("version").catch(() => "closed"));
      if (answers.at(-1)!.startsWith("VERSION")) {
        await expect
          .poll(() => clients[0]!.ask("stats", "END\r\n"))
          .toContain(`STAT curr_connections ${Math.min(i + 1, 10)}\r\n`);
      }
    }
    expect(answers.filter((answer) => answer.startsWith("VERSION"))).toHaveLength(10);
    clients[0]!.close();
    await expect.poll(async () => (await TextClient.connect(port)).ask("version").catch(() => "")).toContain("VERSION");
    for (const client of clients) client.close();
  });

  it("share one admin address, whose metrics cover all workers, also after replacement", async () => {
    const started = await start(toml().replace("workers = 2", 'workers = 2\nadmin = "127.0.0.1:0"'));
    await started.printed(/admin on http/);
    const [, url] = /admin on (http:\S+)/.exec(started.stderr)!;
    const clients = await Promise.all(Array.from({ length: 8 }, () => TextClient.connect(started.port)));
    for (const client of clients) await client.ask("get echo/x", "END\r\n");
    const scrape = async () => parsePrometheus(await (await fetch(`${url}metrics`)).text());
    for (let i = 0; i < 4; i++) {
      const seen = await scrape();
      const gets = { operation: "get", protocol: "classic" };
      expect(sampleValue(seen, "platypus_client_request_duration_seconds_count", gets)).toBe(8);
      expect(sampleValue(seen, "platypus_client_connections")).toBe(8);
      expect(sampleValue(seen, "platypus_ready")).toBe(1);
    }
    for (const client of clients) client.close();
    started.child.kill("SIGUSR2");
    await started.printed(/all workers are replaced/);
    expect(sampleValue(await scrape(), "platypus_client_accepted_total")).toBe(0);
  });

  it("are ready when a server answers, also while they are replaced, and not if all of them drain", async () => {
    const port = await freePort();
    const own = toml().replace(/servers = .*/, `servers = ["127.0.0.1:${port}"]`);
    const started = await start(own.replace("workers = 2", 'workers = 2\nadmin = "127.0.0.1:0"\nlog_level = "debug"'));
    await started.printed(/admin on http/);
    const [, url] = /admin on (http:\S+)/.exec(started.stderr)!;
    const ask = async (path: string) => {
      const response = await fetch(`${url}${path}`, { headers: { connection: "close" } });
      return `${response.status} ${await response.text()}`;
    };
    // Whichever worker is asked.
    const all = async (path: string) => new Set(await Promise.all(Array.from({ length: 8 }, () => ask(path))));
    await expect.poll(() => all("readyz")).toEqual(new Set(["503 not ready: no server has been connected to yet\n"]));
    expect(await all("healthz")).toEqual(new Set(["200 ok\n"]));
    const server = await MemcachedProcess.start({ port });
    try {
      await expect.poll(() => all("readyz"), { timeout: 15_000 }).toEqual(new Set(["200 ready\n"]));
      const seen = new Set<string>();
      started.child.kill("SIGUSR2");
      // Its drains last until this client leaves, or is cut off.
      const staying = await stay(started.port);
      while (!started.stderr.includes("SIGTERM: answering")) for (const answer of await all("readyz")) seen.add(answer);
      for (let i = 0; i < 20; i++) for (const answer of await all("readyz")) seen.add(answer);
      staying.destroy();
      await started.printed(/all workers are replaced/);
      expect(seen).toEqual(new Set(["200 ready\n"]));
      const clients = await Promise.all(Array.from({ length: 16 }, () => stay(started.port)));
      started.child.kill("SIGTERM");
      await expect.poll(() => ask("readyz")).toBe("503 not ready: draining\n");
      for (const client of clients) client.destroy();
      expect(await started.exit()).toBe(0);
    } finally {
      await server.stop();
    }
  });

  it("are replaced one after the other, without refusing or disconnecting a client", async () => {
    const started = await start();
    const before = await workersOf(started);
    const { stop, count } = load(started.port);
    await expect.poll(() => count.answered).toBeGreaterThan(20);
    started.child.kill("SIGUSR2");
    await started.printed(/all workers are replaced/);
    const answered = count.answered;
    await expect.poll(() => count.answered).toBeGreaterThan(answered + 20);
    expect(await stop()).toMatchObject({ wrong: 0, refused: 0 });
    const after = await workersOf(started);
    expect(after.length).toBe(2);
    expect(after.filter((pid) => before.includes(pid))).toEqual([]);
  });

  it("keep their number if they are replaced twice at once, or if one ends meanwhile", async () => {
    const started = await start();
    const [first, second] = await workersOf(started);
    started.child.kill("SIGUSR2");
    await expect.poll(async () => (await workersOf(started)).length).toBe(3);
    started.child.kill("SIGUSR2");
    process.kill(first!, "SIGKILL");
    await started.printed(/all workers are replaced[\s\S]*all workers are replaced/);
    const after = await workersOf(started);
    expect(after.length).toBe(2);
    expect(after.filter((pid) => pid === first || pid === second)).toEqual([]);
  });

  it("end if their parent process is killed", async () => {
    const started = await start();
    const workers = await workersOf(started);
    started.child.kill("SIGKILL");
    const isAlive = (pid: number) => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    await expect.poll(() => workers.filter(isAlive), { timeout: 5_000 }).toEqual([]);
  });

  it("are restarted if they end; meanwhile the others serve", async () => {
    const started = await start();
    const [first] = await workersOf(started);
    process.kill(first!, "SIGKILL");
    await started.printed(/worker \d ended \(SIGKILL\); started again in 100 ms/);
    await expect.poll(async () => (await workersOf(started)).length).toBe(2);
    const client = await TextClient.connect(started.port);
    expect(await client.ask("get echo/x", "END\r\n")).toContain("hi x");
    client.close();
  });

  it("make clients wait while none is up, and answer when one is", async () => {
    const started = await start();
    for (const pid of await workersOf(started)) process.kill(pid, "SIGKILL");
    await started.printed(/worker 0 ended[\s\S]*worker 1 ended|worker 1 ended[\s\S]*worker 0 ended/);
    const client = await TextClient.connect(started.port);
    expect(await client.ask("get echo/x", "END\r\n")).toContain("hi x");
    client.close();
  });

  it("answer everything they have read on Ctrl-C, which a terminal sends to all of them", async () => {
    const port = await freePort();
    const file = path.join(await mkdtemp(path.join(tmpdir(), "platypus-")), "p.toml");
    await writeFile(file, toml(`127.0.0.1:${port}`));
    const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
    const env = { ...process.env, PLATYPUS_SERVER_ADMIN: "off" };
    // Detached: a process group of its own, as a shell makes one.
    const stdio = ["ignore", "ignore", "pipe"] as const;
    const child = spawn(process.execPath, [main, "--config", file], { env, detached: true, stdio: [...stdio] });
    let said = "";
    child.stderr.setEncoding("utf8");
    for (; !said.includes("listens on"); ) said += (await once(child.stderr, "data"))[0];
    child.stderr.on("data", (text: string) => {
      said += text;
    });
    const client = await TextClient.connect(port);
    await client.ask("get echo/x", "END\r\n");
    process.kill(-child.pid!, "SIGINT");
    await client.end();
    client.close();
    expect(await once(child, "exit")).toEqual([0, null]);
    expect(said).not.toContain("again");
    await rm(path.dirname(file), { recursive: true });
  });

  it("share a socket file", async () => {
    const path = `/tmp/platypus-workers-${process.pid}.sock`;
    await start(toml(`unix:${path}`));
    const socket = net.connect({ path });
    const answer = new Promise<string>((resolve) => socket.once("data", (chunk) => resolve(chunk.toString())));
    socket.write("get echo/x\r\n");
    expect(await answer).toContain("hi x");
    socket.destroy();
  });

  it("all answer everything they have read on SIGTERM, and the exit code is 0", async () => {
    const started = await start();
    const client = await TextClient.connect(started.port);
    await client.ask("get echo/x", "END\r\n");
    started.child.kill("SIGTERM");
    await client.end();
    expect(await started.exit()).toBe(0);
    expect(await workersOf(started).catch(() => [])).toEqual([]);
  });

  it("answer everything they have read if each process receives the signal, as systemd may send it", async () => {
    const server = await ScriptedBackend.start();
    try {
      const target = `[target]\nservers = ["127.0.0.1:${server.port}"]\nserver_timeout = "10s"\n`;
      const started = await start(`[server]\nlisten = "127.0.0.1:0"\nworkers = 2\n${target}`);
      const client = await TextClient.connect(started.port);
      client.send("get a\r\n");
      const command = await server.command();
      for (const pid of await workersOf(started)) process.kill(pid, "SIGTERM");
      await started.printed(/answering the requests that were read[\s\S]*answering the requests that were read/);
      started.child.kill("SIGTERM");
      await started.printed(/the workers answer the requests that they have read/);
      await started.printed(/stopped/);
      command.reply("VALUE a 0 1\r\n1\r\nEND\r\n");
      expect(await client.end()).toBe("VALUE a 0 1\r\n1\r\nEND\r\n");
      expect(await started.exit()).toBe(0);
    } finally {
      await server.stop();
    }
  });
});

it("workers are refused for a store in the process", async () => {
  platypus = PlatypusProcess.run(["--config", "config/quickstart.toml"], { PLATYPUS_SERVER_WORKERS: "2" });
  expect(await platypus.exit()).toBe(2);
  expect(platypus.stderr).toContain("the store in a process has one owner");
});

it("all workers end with the exit code of a worker that cannot serve", async () => {
  await expect(start(toml("192.0.2.1:11211"))).rejects.toThrow(/is not an address of this machine/);
});
