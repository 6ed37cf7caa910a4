/** `platypus simulate` as users run it, and its word against what a real process does with the same trace. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { afterTest, connect, startMemcached, startOrigin } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const FLEET = fileURLToPath(new URL("../../config/fleet.toml", import.meta.url));

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-simulate-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, text: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, text);
  return file;
}

async function simulate(...args: string[]) {
  const run = PlatypusProcess.run(["simulate", ...args]);
  afterTest(() => run.stop());
  return { code: await run.exit(), stdout: run.stdout, stderr: run.stderr };
}

/** Cells of the table by the name of their row: with refresh, without. */
function rowsOf(table: string): Map<string, [string, string]> {
  const rows = [...table.matchAll(/^ *(\S.*?) {2,}(\S+(?: \S+)?) {2,}(\S+(?: \S+)?)$/gm)];
  return new Map(rows.map(([, name, on, off]) => [name!, [on!, off!]]));
}

describe("platypus simulate", () => {
  it("prints one table, which is equal for equal seeds", async () => {
    const args = [FLEET, "--rate", "50", "--keys", "100", "--duration", "20m", "--processes", "2"];
    const { code, stdout, stderr } = await simulate(...args);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^rule products, 20m, 2 processes\n\n +with refresh +without refresh\n/);
    const rows = rowsOf(stdout);
    const [on, off] = rows.get("hits")!.map((cell) => Number.parseFloat(cell));
    expect(on).toBeGreaterThan(off!);
    expect(rows.get("gets")![0]).toBe(rows.get("gets")![1]);
    expect(Number(rows.get("keys tracked by one process")![0])).toBeGreaterThan(50);
    expect((await simulate(...args)).stdout).toBe(stdout);
    expect((await simulate(...args, "--seed", "2")).stdout).not.toBe(stdout);
  });

  it("replays the lines of a trace whose keys the rule matches, from the time of the first on", async () => {
    const trace = await write(
      "trace.csv",
      "time,key\n1000,product/1\n1000.5,session/1\n1001,product/1\n1002,product/2\n",
    );
    const { code, stdout } = await simulate(FLEET, "--trace", trace, "--rule", "products");
    expect([code, stdout.split("\n")[0]]).toEqual([0, "rule products, 2.0 s, 1 process"]);
    const rows = rowsOf(stdout);
    expect([rows.get("gets"), rows.get("hits"), rows.get("source calls")]).toEqual([
      ["3", "3"],
      ["33.33 %", "33.33 %"],
      ["2", "2"],
    ]);
  });

  it("simulates a rule that is off as if it were on", async () => {
    const file = await write(
      "observe.toml",
      '[get.new]\nmatch = "new/(.*)"\nsource = "s"\nmode = "observe"\n[source.s]\ntype = "echo"\n',
    );
    const { code, stdout } = await simulate(file, "--rate", "10", "--keys", "1", "--duration", "10s");
    expect([code, rowsOf(stdout).get("source calls")]).toEqual([0, ["1", "1"]]);
  });

  it("applies its options", async () => {
    for (const flag of ["--help", "-h"]) {
      const { code, stdout } = await simulate(flag);
      expect(code).toBe(0);
      for (const option of ["--trace FILE", "--failures SHARE", "--processes N"]) expect(stdout).toContain(option);
    }
  });

  const wrong: [args: string[], sentence: RegExp][] = [
    [[], /^platypus: simulate takes one file: platypus simulate FILE$/],
    [[FLEET, FLEET], /^platypus: simulate takes one file: platypus simulate FILE$/],
    [[FLEET, "--rule", "product"], /^platypus: there is no rule product in .*fleet\.toml; it has: products$/],
    [[FLEET, "--key", "user/{n}"], /^platypus: --key: "user\/0" is no key that rule products matches$/],
    [[FLEET, "--rate=-5"], /^platypus: --rate: expected a number from 0\.001 to 10000000, got "-5"$/],
    [[FLEET, "--rate", "-5"], /^platypus: .*--rate.*$/],
    [[FLEET, "--keys=-1"], /^platypus: --keys: expected a number from 1 to 10000000, got "-1"$/],
    [[FLEET, "--keys", "1.5"], /^platypus: --keys: expected a whole number, got "1\.5"$/],
    [[FLEET, "--processes", "0"], /^platypus: --processes: expected a number from 1 to 1000, got "0"$/],
    [[FLEET, "--failures", "2"], /^platypus: --failures: expected a number from 0 to 1, got "2"$/],
    [[FLEET, "--latency=-1s"], /^platypus: --latency: expected a duration such as "50ms" or "10m", got "-1s"$/],
    [[FLEET, "--duration", "0s"], /^platypus: there are no gets of keys that rule products matches$/],
    [[FLEET, "--trace", "/nowhere.csv"], /^platypus: --trace: ENOENT: .*\/nowhere\.csv'$/],
    [[FLEET, "--speed", "2"], /^platypus: there is no option --speed; did you mean "--seed"/],
  ];
  it.each(wrong)("reports %j in one sentence and exits with 2", async (args, sentence) => {
    const { code, stdout, stderr } = await simulate(...args);
    const [first, ...others] = stderr.split("\n");
    expect([code, stdout, others]).toEqual([2, "", ["platypus simulate --help lists what there is", ""]]);
    expect(first).toMatch(sentence);
  });

  const badTraces: [lines: string[], sentence: RegExp][] = [
    [["1,product/1", "product/2"], /trace\.csv:2: expected TIME,KEY, got "product\/2"$/],
    [["1,product/1", "", "x,product/2"], /trace\.csv:3: expected TIME,KEY, got "x,product\/2"$/],
    [["1,product/1", "2,"], /trace\.csv:2: expected TIME,KEY, got "2,"$/],
    [
      ["5,product/1", "6,product/1", "4,product/1"],
      /trace\.csv:3: goes back in time; expected lines in order of time$/,
    ],
    [["1,user/1"], /there are no gets of keys that rule products matches$/],
  ];
  it.each(badTraces)("reports a trace of %j in one sentence and exits with 2", async (lines, sentence) => {
    const { code, stderr } = await simulate(FLEET, "--trace", await write("trace.csv", `${lines.join("\n")}\n`));
    expect([code, stderr.split("\n").length]).toEqual([2, 3]);
    expect(stderr.split("\n")[0]).toMatch(sentence);
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a simulation", () => {
  const LATENCY_MS = 50;
  const SECONDS = 8;

  it("matches a real process with an equal trace: as many hits, and as many calls of the source", async () => {
    // Asked for all the time, every second, now and then, and once.
    const every = (key: string, stepMs: number, startMs = 0) =>
      Array.from({ length: Math.ceil((SECONDS * 1_000 - startMs) / stepMs) }, (_, i) => ({
        key: `stuff/${key}`,
        atMs: startMs + i * stepMs,
      }));
    const gets = [
      ...every("busy", 200),
      ...every("calm", 1_000, 130),
      ...every("rare", 5_500, 70),
      ...every("once", 9_000, 40),
    ];
    gets.sort((a, b) => a.atMs - b.atMs);
    const origin = await startOrigin();
    origin.handle = (request, response) => setTimeout(() => response.end(`value of ${request.url}`), LATENCY_MS);
    const memcached = await startMemcached();
    const platypus = await PlatypusProcess.start(`
      [server]
      listen = "127.0.0.1:0"
      [target]
      servers = ["127.0.0.1:${memcached.port}"]
      # On a busy machine a lease that times out would leave a value that is not stored.
      server_timeout = "5s"
      [get.stuff]
      match = "stuff/(.*)"
      source = "origin"
      ttl = "2s"
      refresh_before = "1s"
      expiry = "2s"
      [source.origin]
      type = "http"
      url = "${origin.url}/{1}"
      timeout = "1s"
    `);
    afterTest(() => platypus.stop());
    const client = await connect(platypus.port);

    const startMs = performance.now();
    let hits = 0;
    for (const { key, atMs } of gets) {
      // The trace says when; there is no event to wait for.
      await delay(Math.max(0, startMs + atMs - performance.now()));
      const before = fillsOf(await client.ask("stats platypus", "END\r\n"));
      expect(await client.ask(`get ${key}`, "END\r\n")).toContain("value of");
      if (fillsOf(await client.ask("stats platypus", "END\r\n")) === before) hits++;
    }
    const calls = origin.requests.length;

    const trace = await write("real.csv", gets.map(({ key, atMs }) => `${atMs / 1_000},${key}`).join("\n"));
    const { stdout } = await simulate(platypus.configFile, "--trace", trace, "--latency", `${LATENCY_MS}ms`);
    const rows = rowsOf(stdout);
    const simulatedHits = (Number.parseFloat(rows.get("hits")![0]) / 100) * gets.length;
    const simulatedCalls = Number(rows.get("source calls")![0]);
    // Three keys are refreshed every second for as long as they are needed. Jitter, and where a second of memcached's
    // ends, may move one refresh of each behind the end or before it, and make one get of the rare key a hit or a miss.
    expect(Math.abs(calls - simulatedCalls), `${calls} real and ${simulatedCalls} simulated calls`).toBeLessThanOrEqual(
      4,
    );
    expect(Math.abs(hits - simulatedHits), `${hits} real and ${simulatedHits} simulated hits`).toBeLessThanOrEqual(2);
    // What the tolerance could not tell from filling every miss alone.
    expect(calls).toBeGreaterThan(Number(rows.get("source calls")![1]) + 4);
  });

  function fillsOf(stats: string): number {
    return Number(/STAT rule:stuff:fills (\d+)/.exec(stats)![1]);
  }
});

describe("platypus simulate's other forms", () => {
  const args = [FLEET, "--rate", "100", "--keys", "500", "--duration", "10m"];

  it("include JSON whose numbers are those of the table", async () => {
    const rows = rowsOf((await simulate(...args)).stdout);
    const both = JSON.parse((await simulate(...args, "--json")).stdout);
    expect(both.rule).toBe("products");
    for (const [index, variant] of ["with", "without"].entries()) {
      const { gets, sourceCalls, peakCallsPerSecond, callsBySecond } = both[variant];
      expect(String(gets)).toBe(rows.get("gets")![index]);
      expect(String(sourceCalls)).toBe(rows.get("source calls")![index]);
      expect(String(peakCallsPerSecond)).toBe(rows.get("most in one second")![index]);
      expect(callsBySecond.reduce((sum: number, calls: number) => sum + calls, 0)).toBe(sourceCalls);
    }
  });

  it("include one variant alone, with an equal result", async () => {
    const both = JSON.parse((await simulate(...args, "--json")).stdout);
    for (const variant of ["with", "without"]) {
      const one = JSON.parse((await simulate(...args, "--json", "--only", variant)).stdout);
      expect(one).toEqual({ rule: "products", [variant]: both[variant] });
    }
    expect((await simulate(...args, "--only", "neither")).code).toBe(2);
  });

  it("include a picture of the calls of both variants", async () => {
    const file = path.join(folder, "calls.svg");
    expect((await simulate(...args, "--svg", file)).code).toBe(0);
    const svg = await readFile(file, "utf8");
    expect(svg).toMatch(/^<svg [\s\S]*with refresh[\s\S]*without refresh[\s\S]*<\/svg>\n$/);
    expect(svg.match(/stroke-width/g)).toHaveLength(2);
  });
});
