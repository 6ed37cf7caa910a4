/** The access log, of requests of real clients. */
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { Platypus } from "../../src/server/platypus.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { afterTest, connect, startPlatypus } from "../support/rigs/started.ts";

let folder: string;
let file: string;
let log: KeptLog;
let platypus: Platypus;
let client: TextClient;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-access-"));
  file = path.join(folder, "access.log");
  afterTest(() => rm(folder, { recursive: true }));
  log = new KeptLog();
});

function toml(settings: string, keys = "full"): string {
  return `
[server]
listen = "127.0.0.1:0"
admin = "off"
access_log = "${file}"
${settings}
[telemetry]
keys = "${keys}"
[get.echo]
match = "echo/(.*)"
source = "echo"
[source.echo]
type = "echo"
`;
}

async function start(settings = "", keys?: string): Promise<void> {
  platypus = await startPlatypus(toml(settings, keys), { log: log.log });
  client = await connect(platypus);
}

/** The lines, once there are `count`. */
async function lines(count: number): Promise<string[]> {
  const read = () => {
    try {
      return readFileSync(file, "utf8").split("\n").slice(0, -1);
    } catch {
      return [];
    }
  };
  await expect.poll(() => read().length).toBe(count);
  return read();
}

async function entries(count: number): Promise<Record<string, unknown>[]> {
  return (await lines(count)).map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("the access log", () => {
  it("has a line of JSON for each answered request", async () => {
    await start();
    await client.ask("set a 0 0 1\r\nx", "STORED\r\n");
    await client.ask("get echo/1", "END\r\n");
    await client.ask("get a b c", "END\r\n");
    await client.ask("mg none v", "EN\r\n");
    expect(await entries(4)).toMatchObject([
      { protocol: "classic", operation: "set", key: "a", result: "stored", bytes: 8 },
      { operation: "get", key: "echo/1", rule: "echo", result: "found" },
      { operation: "get", keys: 3, result: "found" },
      { protocol: "meta", operation: "get", key: "none" },
    ]);
    const [first] = await entries(4);
    expect(first).toMatchObject({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      client: expect.stringContaining("127.0.0.1:"),
      ms: expect.any(Number),
    });
  });

  it.each([
    ["rule", { rule: "echo" }, "echo/1"],
    ["none", {}, "echo"],
  ])("shows of a key what [telemetry] keys allows: %s", async (keys, shown, hidden) => {
    await start("", keys);
    await client.ask("get echo/1", "END\r\n");
    const [entry] = await entries(1);
    expect(entry).toMatchObject(shown);
    expect(entry).not.toHaveProperty("key");
    expect(JSON.stringify(entry)).not.toContain(`${hidden}"}`);
  });

  it("has lines of text in which no key can look like another field or line", async () => {
    await start('access_log_form = "text"');
    const key = Buffer.from('a\u2028"b=c').toString("latin1");
    await client.ask(`get ${key}`, "END\r\n");
    await client.ask("get plain", "END\r\n");
    const [odd, plain] = await lines(2);
    expect(odd).toContain('key="a?\\"b=c" result=');
    expect(plain).toMatch(/^\S+Z client=\S+ protocol=classic operation=get key=plain result=\w+ bytes=5 ms=[\d.]+$/);
  });

  it("has slow and failed requests also without samples", async () => {
    await start('access_log_sample = 0\naccess_log_errors = true\naccess_log_slow = "1h"');
    await client.ask("get a", "END\r\n");
    await client.ask("incr a x", "\r\n");
    await client.ask("get b", "END\r\n");
    expect(await entries(1)).toMatchObject([{ result: "clientError" }]);
  });

  it("is a slow log with a sample of 0 and a time", async () => {
    await start('access_log_sample = 0\naccess_log_slow = "1ms"');
    client.send("get a\r\n");
    await client.until("END\r\n");
    // Nothing is said of fast requests, whose time this test does not control: those that are there were slow.
    await platypus.close();
    const text = readFileSync(file, { encoding: "utf8", flag: "a+" });
    for (const line of text.split("\n").slice(0, -1)) expect(JSON.parse(line).ms).toBeGreaterThanOrEqual(1);
  });

  it("goes to another file after a reload, and no line is lost", async () => {
    await start();
    await client.ask("get a", "END\r\n");
    const first = file;
    file = path.join(folder, "other.log");
    platypus.reload(nativeConfig(toml("")));
    await client.ask("get b", "END\r\n");
    expect(await entries(1)).toMatchObject([{ key: "b" }]);
    expect(JSON.parse(readFileSync(first, "utf8"))).toMatchObject({ key: "a" });
  });

  it("is counted and reported if it cannot be written, and requests go on", async () => {
    await mkdir(file);
    await start();
    expect(await client.ask("get a", "END\r\n")).toBe("END\r\n");
    await expect.poll(() => log.lines.join("\n")).toContain("a request was not written to the access log");
    expect(await client.ask("get b", "END\r\n")).toBe("END\r\n");
    const stats = await client.ask("stats platypus", "END\r\n");
    expect(stats).toMatch(/report:access_log:failures [1-9]/);
  });
});
