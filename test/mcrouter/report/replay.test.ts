import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AsyncLog } from "../../../src/mcrouter/report/async-log.ts";
import { parseLogLine, replayAsyncLogs } from "../../../src/mcrouter/report/replay.ts";
import { Reports } from "../../../src/telemetry/reports.ts";
import { TextClient } from "../../support/clients/text-client.ts";
import { KeptLog } from "../../support/fakes/kept-log.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { freePort, MemcachedProcess } from "../../support/servers/memcached-process.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "platypus-asynclog-"));
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

/** A log below `root`, and a way to put a delete into it. */
function openLog(clock = new ManualClock()) {
  const reports = new Reports(new KeptLog().log, clock);
  const log = new AsyncLog({ root, serviceName: "mcrouter", routerName: "5000", clock, reports });
  const spool = (server: string, key: string) => new Promise<void>((done) => log.spool(server, "pool", key, done));
  return { log, spool, reports, clock };
}

/** Everything in the files of the log, by file name. */
async function contents(): Promise<string[]> {
  const { readdir } = await import("node:fs/promises");
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  return Promise.all(files.sort().map((file) => readFile(file, "latin1")));
}

describe("the async log", () => {
  it("has mcrouter's format, in one file per 15 minutes", async () => {
    const { log, spool, clock } = openLog();
    await spool("10.0.0.1:11211", "a");
    await spool("[::1]:11212", "b\xff");
    clock.advance(901_000);
    await spool("unix:/run/m.sock", "c");
    await log.close();
    expect(await contents()).toEqual([
      '["AS1.0",1700000000,"C",["10.0.0.1",11211,"delete a\\r\\n"]]\n' +
        '["AS1.0",1700000000,"C",["::1",11212,"delete b\xff\\r\\n"]]\n',
      '["AS1.0",1700000901,"C",["unix:/run/m.sock",0,"delete c\\r\\n"]]\n',
    ]);
    expect(log.counters).toEqual({ requests: 3, spooled: 3, failed: 0 });
  });

  it("has lines of the second version if configured, which replay reads as well", async () => {
    const clock = new ManualClock();
    const version2 = { flavorName: "/etc/web.json", region: "east" };
    const reports = new Reports(new KeptLog().log, clock);
    const log = new AsyncLog({ root, serviceName: "mcrouter", routerName: "web", version2, clock, reports });
    await new Promise<void>((done) => log.spool("[::1]:11212", "A", "k", done));
    await log.close();
    const [line] = await contents();
    expect(JSON.parse(line!)).toEqual([
      "AS2.0",
      1700000000,
      "C",
      { s: "mcrouter", f: "/etc/web.json", r: "east", h: "[::1]:11212", p: "A", k: "k", a: { al: 1 } },
    ]);
    expect(parseLogLine(line!)).toEqual({ host: "::1", port: 11212, key: "k" });
  });

  it("continues in another file after one that could not be written or was removed", async () => {
    const { log, spool, reports } = openLog();
    await spool("h:1", "a");
    const { readdir } = await import("node:fs/promises");
    const [folder] = await readdir(root);
    const [first] = await readdir(path.join(root, folder!));
    await rm(path.join(root, folder!), { recursive: true });
    await mkdir(path.join(root, folder!));
    // The second file of this process is a full disk.
    await symlink("/dev/full", path.join(root, folder!, first!.replace(/1$/, "2")));
    await spool("h:1", "b");
    await spool("h:1", "c");
    await spool("h:1", "d");
    await log.close();
    expect(reports.failures.get("async_log")).toBe(1);
    expect(log.counters).toEqual({ requests: 4, spooled: 3, failed: 1 });
    const lines = (await contents()).join("").split("\n").filter(Boolean);
    expect(lines.map((line) => parseLogLine(line)?.key)).toEqual(["c", "d"]);
  });

  it("stops even if its disk hangs", async () => {
    const { log, clock } = openLog();
    Object.defineProperty(log, "writing", { value: new Promise(() => {}) });
    const closing = log.close();
    clock.advance(2_000);
    await closing;
  });

  it("still answers if it cannot be written, and reports that", async () => {
    await writeFile(path.join(root, "file"), "");
    const kept = new KeptLog();
    const clock = new ManualClock();
    const reports = new Reports(kept.log, clock);
    const log = new AsyncLog({ root: path.join(root, "file"), serviceName: "s", routerName: "r", clock, reports });
    await new Promise<void>((done) => log.spool("h:1", "p", "k", done));
    await log.close();
    expect(kept.lines).toEqual([expect.stringContaining("asynclog: a delete was not kept: ENOTDIR")]);
    expect(log.counters).toEqual({ requests: 1, spooled: 0, failed: 1 });
  });

  it("keeps at most 100,000 lines waiting for the disk, and answers, counts and reports the others", async () => {
    const { log, reports } = openLog();
    let answered = 0;
    // The first is being written when the others come.
    for (let i = 0; i <= 100_001; i++) log.spool("h:1", "p", `k${i}`, () => answered++);
    expect(answered).toBe(1);
    expect(reports.failures.get("async_log")).toBe(1);
    await log.close();
    expect(answered).toBe(100_002);
    expect(log.counters).toEqual({ requests: 100_002, spooled: 100_001, failed: 1 });
  });
});

describe("a line of an async log", () => {
  it("is read in both of mcrouter's formats", () => {
    expect(parseLogLine('["AS1.0",1.5,"C",["h",1,"delete k\\r\\n"]]')).toEqual({ host: "h", port: 1, key: "k" });
    const second = '["AS2.0",1.5,"C",{"s":"s","f":"f","r":"r","h":"[::1]:2","p":"p","k":"k","a":{}}]';
    expect(parseLogLine(second)).toEqual({ host: "::1", port: 2, key: "k" });
  });

  it.each(["", "{}", "[1]", '["AS1.0",1,"C",["h",1,"set k\\r\\n"]]', '["AS2.0",1,"C",{"h":"h:1","k":"a b"}]'])(
    "is not read as a delete: %s",
    (line) => {
      expect(parseLogLine(line)).toBeNull();
    },
  );
});

describe.skipIf(MemcachedProcess.isMissing)("replay of an async log", () => {
  it("deletes the keys on servers that are up again, and keeps the lines of servers that are down", async () => {
    const memcached = await MemcachedProcess.start();
    const gone = await freePort();
    try {
      const client = await TextClient.connect(memcached.port);
      for (let i = 0; i < 1_200; i++) await client.ask(`set k${i} 0 0 1\r\nx`, "STORED\r\n");
      const { log, spool } = openLog();
      for (let i = 0; i < 1_200; i++) await spool(`127.0.0.1:${memcached.port}`, `k${i}`);
      await spool(`127.0.0.1:${gone}`, "other");
      await log.close();
      await mkdir(path.join(root, "hour"));
      await writeFile(path.join(root, "hour", "odd"), "no line\n");
      const result = await replayAsyncLogs(root, false, () => {});
      expect(result).toEqual({ files: 2, done: 1_200, left: 1, unreadable: 1 });
      expect(await client.ask("get k0 k1199", "END\r\n")).toBe("END\r\n");
      expect(await contents()).toEqual([expect.stringContaining("delete other"), "no line\n"]);
      client.close();
    } finally {
      await memcached.stop();
    }
  });

  it("only counts in a dry run", async () => {
    const { log, spool } = openLog();
    await spool("127.0.0.1:1", "k");
    await log.close();
    expect(await replayAsyncLogs(root, true, () => {})).toEqual({ files: 1, done: 0, left: 1, unreadable: 0 });
    expect((await contents()).length).toBe(1);
  });
});
