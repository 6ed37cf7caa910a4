import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PoolServer } from "../../src/config/config.ts";
import { parseServer } from "../../src/config/native-pool.ts";
import type { Discoverer } from "../../src/discovery/discoverer.ts";
import { Follower } from "../../src/discovery/follower.ts";
import { KeptLists } from "../../src/discovery/kept-lists.ts";
import { serverText } from "../../src/discovery/server-list.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { settled } from "../support/fakes/settled.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";

const INTERVAL_MS = 10_000;

let clock: ManualClock;
let log: KeptLog;
let folder: string;
let looks: number;
let changes: number;
/** The next answers; an Error is a failure. */
let answer: string | Error;
let isDoubtful: boolean;
let follower: Follower;
const own = [{ type: "tcp", host: "own", port: 1, isTls: false }] as const;

const list = (text: string) =>
  text
    .split(" ")
    .filter(Boolean)
    .map((each) => parseServer(`${each}:1`, "/") as PoolServer);
const inUse = () => follower.servers.map((server) => serverText(server).replace(":1", "")).join(" ");

function make({ first = "", isKept = false, before = null as Follower | null, place = "srv:x" } = {}): Follower {
  const servers = first === "" ? "" : `servers = ${JSON.stringify(first.split(" ").map((each) => `${each}:1`))}\n`;
  const [pool] = nativeConfig(`[pool.p]\ndiscover = "${place}"\n${servers}`).pools;
  const discoverer: Discoverer = {
    watch: null,
    look: async () => {
      looks++;
      if (answer instanceof Error) throw answer;
      return { servers: list(answer), isDoubtful };
    },
  };
  const kept = isKept ? new KeptLists(folder) : null;
  const changed = () => {
    changes++;
  };
  return new Follower({
    pool: pool!,
    discoverer,
    clock,
    random: () => 0,
    log: log.log,
    own: () => own,
    before,
    kept,
    changed,
  });
}

async function next(text: string | Error): Promise<string> {
  answer = text;
  clock.advance(INTERVAL_MS);
  await settled();
  return inUse();
}

beforeEach(async () => {
  clock = new ManualClock();
  log = new KeptLog();
  folder = await mkdtemp(path.join(tmpdir(), "platypus-state-"));
  looks = 0;
  changes = 0;
  isDoubtful = false;
  answer = "a b c d";
});
afterEach(async () => {
  follower.stop();
  await rm(folder, { recursive: true });
});

describe("a followed list", () => {
  it("is asked for at the interval, and a change is reported with what was added, removed and moved", async () => {
    follower = make();
    await follower.begin();
    expect([inUse(), changes]).toEqual(["a b c d", 0]);
    expect(await next("a b c d")).toBe("a b c d");
    expect([looks, changes]).toEqual([2, 0]);
    expect(await next("a b c e")).toBe("a b c e");
    expect([looks, changes]).toEqual([3, 1]);
    expect(log.lines.at(-1)).toMatch(
      /pool p, srv:x: 4 servers; added e:1; removed d:1; [1-4]\d\.\d % of the keys moved$/,
    );
    expect(follower.state).toMatchObject({ pool: "p", servers: 4, changes: 1, failures: 0, error: null });
  });

  it("stays when there is no answer, or an empty one, which is logged once", async () => {
    follower = make();
    await follower.begin();
    expect(await next(new Error("no DNS server answers"))).toBe("a b c d");
    expect(await next(new Error("no DNS server answers"))).toBe("a b c d");
    expect(await next("")).toBe("a b c d");
    clock.advance(1_000);
    expect(follower.state).toMatchObject({ failures: 3, ageSeconds: 31, error: "the list is empty" });
    expect(
      log.lines.filter((line) => line.includes("no DNS server answers; the last list of 4 servers stays")),
    ).toHaveLength(1);
    expect(await next("a b c d")).toBe("a b c d");
    expect(log.lines.at(-1)).toContain("answers again");
    expect(follower.state).toMatchObject({ ageSeconds: 0, error: null });
  });

  it("loses more than half of its servers only when the next look finds the same", async () => {
    follower = make();
    await follower.begin();
    expect(await next("a")).toBe("a b c d");
    expect(log.lines.at(-1)).toContain("3 of 4 servers are gone; the list stays until the next look finds the same");
    expect(await next("a b")).toBe("a b");
    expect(await next("e f")).toBe("a b");
    expect(await next("f g")).toBe("a b");
    expect(await next("f g")).toBe("f g");
    expect(changes).toBe(2);
  });

  it("does not take a loss before and after a failure as the same", async () => {
    follower = make();
    await follower.begin();
    expect(await next("a")).toBe("a b c d");
    await next(new Error("away"));
    expect(await next("a")).toBe("a b c d");
    expect(await next("a")).toBe("a");
  });

  it("is replaced by an answer that seems older only if that is repeated", async () => {
    follower = make();
    await follower.begin();
    isDoubtful = true;
    expect(await next("a b c")).toBe("a b c d");
    isDoubtful = false;
    expect(await next("a b c")).toBe("a b c");
  });

  it("is the list of the configuration until there is an answer, however much that differs", async () => {
    answer = new Error("away");
    follower = make({ first: "x y" });
    await follower.begin();
    expect(inUse()).toBe("x y");
    expect(await next("a")).toBe("a");
    expect(changes).toBe(1);
  });

  it("is kept on disk, and used at the next start without an answer", async () => {
    follower = make({ isKept: true });
    await follower.begin();
    await expect.poll(() => readFile(path.join(folder, "servers-p.json"), "utf8").catch(() => "")).toContain("d:1");
    follower.stop();
    answer = new Error("away");
    follower = make({ first: "x", isKept: true });
    await follower.begin();
    expect(inUse()).toBe("a b c d");
    // A change of the configuration's own list is no reason to distrust an answer; the kept list was an answer.
    expect(await next("a")).toBe("a b c d");
    expect(await next("a")).toBe("a");
  });

  it("stays over a reload until there is an answer, also from another place", async () => {
    follower = make();
    await follower.begin();
    follower.stop();
    answer = new Error("away");
    follower = make({ before: follower });
    await follower.begin();
    expect(inUse()).toBe("a b c d");
    expect(await next("a")).toBe("a b c d");
    follower.stop();
    answer = new Error("away");
    follower = make({ before: follower, place: "srv:y" });
    await follower.begin();
    expect(inUse()).toBe("a b c d");
    // The list of another place is no reason to doubt.
    expect(await next("e")).toBe("e");
  });

  it("does not count if it contains an address of this process", async () => {
    follower = make();
    await follower.begin();
    expect(await next("a b own")).toBe("a b c d");
    expect(log.lines.at(-1)).toContain("own:1 is one of Platypus' own addresses; the last list of 4 servers stays");
  });

  it("is asked for at once after a lost connection, once in a second", async () => {
    follower = make();
    await follower.begin();
    clock.advance(2_000);
    for (let i = 0; i < 10; i++) follower.lookSoon();
    await settled();
    expect(looks).toBe(2);
    for (let i = 0; i < 10; i++) follower.lookSoon();
    clock.advance(999);
    await settled();
    expect(looks).toBe(2);
    clock.advance(1);
    await settled();
    expect(looks).toBe(3);
    clock.advance(INTERVAL_MS);
    await settled();
    expect(looks).toBe(4);
  });
});
