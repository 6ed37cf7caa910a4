/** What two pools of one server send across reloads that part, join and swap their backends: nothing overtakes, nothing hangs. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BackendContext } from "../../../src/proxy/backend/backend.ts";
import { type BuiltPools, buildPools, noPools, replaceBackends } from "../../../src/proxy/route/pools.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { KeptLog } from "../../support/fakes/kept-log.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { settled } from "../../support/fakes/settled.ts";
import { treeConfig } from "../../support/rigs/tree-config.ts";
import { ScriptedBackend, type ScriptedCommand } from "../../support/servers/scripted-backend.ts";

const VERSION = "VERSION 1.6.18\r\n";
const STEP_MS = 10;
const MAX_STEPS = 10_000;

let clock: ManualClock;
let context: BackendContext;
let server: ScriptedBackend;
let pools: BuiltPools;
let opened: BuiltPools[];

/** Time-outs of the pools by their names: pools with the same one share a backend. */
async function reload(timeouts: Readonly<Record<string, number>>): Promise<() => void> {
  const servers = [`127.0.0.1:${server.port}`];
  const all = Object.entries(timeouts).map(([name, server_timeout]) => [name, { servers, server_timeout }]);
  const policies = Object.fromEntries(Object.keys(timeouts).map((name) => [name, `PoolRoute|${name}`]));
  const route = { type: "PrefixSelectorRoute", policies, wildcard: "NullRoute" };
  const config = await treeConfig({ pools: Object.fromEntries(all), route });
  const previous = pools;
  pools = buildPools(config, previous, context);
  opened.push(pools);
  return replaceBackends(previous, pools);
}

function ask(pool: string, frame: string): Asked {
  const route = pools.routes.get(pool)!;
  return new Asked(frame).by((request) => route.route(request));
}

function set(pool: string, value: string): Asked {
  return ask(pool, `set k 0 0 ${value.length}\r\n${value}\r\n`);
}

async function reached(isReached: () => boolean, stepMs = 0): Promise<void> {
  for (let i = 0; i < MAX_STEPS && !isReached(); i++) {
    if (stepMs > 0) clock.advance(stepMs);
    for (let turn = 0; turn < 3; turn++) await settled();
  }
  expect(isReached()).toBe(true);
}

/** From now on `version`, which stands behind what is waited for, is not answered before `begun` is (`answer`). */
function holdVersion(): void {
  server.version = null;
}

function answer(begun: ScriptedCommand): void {
  server.version = VERSION;
  begun.reply("STORED\r\n");
  begun.connection.send(VERSION);
}

/** Shows that the server has received nothing that it should not have: what is sent now, elsewhere, has come. */
async function roundTrip(): Promise<void> {
  const probe = await ScriptedBackend.start();
  await probe.stop();
  for (let turn = 0; turn < 20; turn++) await settled();
}

beforeEach(async () => {
  clock = new ManualClock();
  context = { clock, turn: new Turn(() => clock.nowMs()), log: new KeptLog().log, random: () => 0 };
  server = await ScriptedBackend.start();
  pools = noPools;
  opened = [];
});

afterEach(async () => {
  for (const built of opened) for (const backend of built.backends.values()) backend.close();
  await server.stop();
});

/** Each row: pools before a reload and behind it, and the pool whose requests must keep their order. */
const changes: readonly (readonly [string, Readonly<Record<string, number>>, Readonly<Record<string, number>>])[] = [
  ["leaves a backend that another keeps", { A: 1000, B: 1000 }, { A: 2000, B: 1000 }],
  ["comes to the backend of another", { A: 1000, B: 2000 }, { A: 2000, B: 2000 }],
  ["swaps its backend with another", { A: 1000, B: 2000 }, { A: 2000, B: 1000 }],
  ["takes a backend that the other leaves for a new one", { A: 1000, B: 2000 }, { A: 2000, B: 3000 }],
  ["has another backend, alone", { A: 1000 }, { A: 2000 }],
  ["leaves for a backend that a third has", { A: 1000, B: 1000, C: 2000 }, { A: 2000, B: 1000, C: 2000 }],
];

describe("a pool that", () => {
  it.each(changes)("%s sends nothing before its earlier requests have been answered", async (_, before, after) => {
    (await reload(before))();
    const first = set("A", "first");
    const begun = await server.command();
    const begin = await reload(after);
    const second = set("A", "second");
    await roundTrip();
    holdVersion();
    begin();
    await roundTrip();
    expect(server.lines.length).toBe(1);
    answer(begun);
    const next = await server.command();
    expect(next.data).toBe("second");
    next.reply("STORED\r\n");
    expect([await first.status(), await second.status()]).toEqual(["stored", "stored"]);
    const third = set("A", "third");
    (await server.command()).reply("STORED\r\n");
    expect(await third.status()).toBe("stored");
  });

  it("leaves a backend does not delay the others of that backend", async () => {
    (await reload({ A: 1000, B: 1000 }))();
    set("A", "first");
    await server.command();
    const begin = await reload({ A: 2000, B: 1000 });
    begin();
    set("A", "second");
    ask("B", "get b\r\n");
    expect((await server.command()).line).toBe("get b");
  });

  it("comes to the backend of another does not delay that pool", async () => {
    (await reload({ A: 1000, B: 2000 }))();
    set("A", "first");
    await server.command();
    const begin = await reload({ A: 2000, B: 2000 });
    begin();
    set("A", "second");
    ask("B", "get b\r\n");
    expect((await server.command()).line).toBe("get b");
  });

  it("leaves and comes back in two reloads keeps the order of its requests, whichever starts first", async () => {
    for (const isSecondFirst of [false, true]) {
      (await reload({ A: 1000, B: 1000 }))();
      set("A", "first");
      const begun = await server.command();
      const toOther = await reload({ A: 2000, B: 1000 });
      set("A", "second");
      const back = await reload({ A: 1000, B: 1000 });
      set("A", "third");
      holdVersion();
      for (const begin of isSecondFirst ? [back, toOther] : [toOther, back]) begin();
      await roundTrip();
      expect(server.lines.length).toBe(1);
      answer(begun);
      for (const expected of ["second", "third"]) {
        const next = await server.command();
        expect(next.data).toBe(expected);
        next.reply("STORED\r\n");
      }
      server.lines.length = 0;
    }
  });

  it.each([
    { A: 2000, B: 1000 },
    { A: 2000, B: 2000 },
    { A: 1000, B: 2000 },
  ])("has requests at a silent server continues after they time out, with the reloaded timeouts %j", async (after) => {
    (await reload({ A: 1000, B: 1000 }))();
    const first = set("A", "first");
    await server.command();
    const begin = await reload(after);
    holdVersion();
    begin();
    const second = set("A", "second");
    await reached(() => first.answers.length > 0 && second.answers.length > 0, STEP_MS);
  });
});
