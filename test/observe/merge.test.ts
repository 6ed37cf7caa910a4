import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { merge } from "../../src/observe/merge.ts";
import type { Question } from "../../src/observe/siblings.ts";
import type { Sample, ServerNumbers, Snapshot } from "../../src/observe/snapshot.ts";
import { Platypus } from "../../src/server/platypus.ts";
import { quantileMs } from "../../src/telemetry/durations.ts";
import { Histogram } from "../../src/telemetry/histogram.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";

const RULES = `[get.hello]
match = "hello/(.*)"
source = "greeting"
[source.greeting]
type = "echo"
template = "Hello, {1}!"
`;

/** What a worker has told. */
let told: Snapshot;
let platypus: Platypus;

beforeAll(async () => {
  let answer: (question: Question) => unknown = () => null;
  const siblings = {
    sockets: new Map(),
    ask: () => {},
    onQuestion: (given: (question: Question) => unknown) => {
      answer = given;
    },
    onReplaced: () => {},
    onBeat: () => {},
    connectionsChanged: () => {},
    otherConnections: 0,
  };
  platypus = await Platypus.start(nativeConfig(`${targetOf([1, 2])}${RULES}`), { siblings });
  told = answer({
    kind: "snapshot",
    details: { hasPeers: true, hasHistory: true, trackedKeysOf: "hello" },
  }) as Snapshot;
});
afterAll(() => platypus.close());

function withProcess(process: Partial<Snapshot["process"]>): Snapshot {
  return { ...told, process: { ...told.process, ...process } };
}

function withServers(...servers: Partial<ServerNumbers>[]): Snapshot {
  return { ...told, servers: servers.map((server) => ({ ...told.servers[0]!, ...server })) };
}

function sample(unixSeconds: number, requests: number, p99Ms: number | null): Sample {
  const nothing = { errors: 0, hits: 0, misses: 0, filled: 0, fetches: 0, refreshes: 0, p50Ms: null, lagMs: null };
  return { ...nothing, unixSeconds, requests, clients: 1, p99Ms };
}

describe("a snapshot", () => {
  it("is plain data: it is unchanged after a transfer between workers", () => {
    expect(JSON.parse(JSON.stringify(told))).toEqual(told);
  });
});

describe("merge", () => {
  it("returns the snapshot of a single worker unchanged", () => {
    expect(merge([told])).toBe(told);
  });

  it("adds amounts, and keeps values that are specific to a process or common to all", () => {
    const all = merge([withProcess({ pid: 1, residentBytes: 10 }), withProcess({ pid: 2, residentBytes: 5 })]);
    expect(all.process).toMatchObject({ workers: 2, pid: 1, residentBytes: 15, version: told.process.version });
    expect(all.config).toEqual(told.config);
    const clients = { ...told.clients, accepted: 3, operations: told.clients.operations.map((_, i) => i) };
    expect(
      merge([
        { ...told, clients },
        { ...told, clients },
      ]).clients,
    ).toMatchObject({
      accepted: 6,
      operations: told.clients.operations.map((_, i) => 2 * i),
    });
  });

  it("takes the longest time since a start, and the earliest start", () => {
    const [young, old] = [
      withProcess({ uptimeSeconds: 5, startedUnixSeconds: 95 }),
      withProcess({ uptimeSeconds: 50, startedUnixSeconds: 50 }),
    ];
    expect(merge([young, old]).process).toMatchObject({ uptimeSeconds: 50, startedUnixSeconds: 50 });
  });

  it("is not ready while one worker is not, and is connected when one worker is", () => {
    const [ready, draining] = [
      withProcess({ notReady: null, hasConnected: true }),
      withProcess({ notReady: "draining", hasConnected: false }),
    ];
    for (const order of [
      [ready, draining],
      [draining, ready],
    ]) {
      expect(merge(order).process).toMatchObject({ notReady: "draining", hasConnected: true });
    }
  });

  it("groups servers by pool and name, each with its worst state and the sum of its requests", () => {
    const one = withServers({ name: "a", state: "soft TKO", requests: 1 }, { name: "b", state: "up", requests: 2 });
    const other = withServers({ name: "b", state: "hard TKO", requests: 3 }, { name: "c", pool: "p", requests: 4 });
    expect(merge([one, other]).servers.map(({ name, state, requests }) => [name, state, requests])).toEqual([
      ["a", "soft TKO", 1],
      ["b", "hard TKO", 5],
      ["c", told.servers[0]!.state, 4],
    ]);
    const view = (name: "up" | "down") => ({ ...told.servers[0]!.views, new: 0, up: 0, down: 0, closed: 0, [name]: 1 });
    const [up, down] = [withServers({ views: view("up") }), withServers({ views: view("down") })];
    expect(merge([up, down, up]).servers[0]!.views).toEqual({ new: 0, up: 2, down: 1, closed: 0 });
  });

  it("keeps the latest changes of a server's state, in order", () => {
    const change = (unixSeconds: number) => ({ unixSeconds, state: "up" as const, reason: null });
    const many = Array.from({ length: 15 }, (_, i) => change(2 * i));
    const { history } = merge([withServers({ history: many }), withServers({ history: [change(3), ...many.slice(5)] })])
      .servers[0]!;
    expect(history).toHaveLength(20);
    expect(history.map(({ unixSeconds }) => unixSeconds)).toEqual(
      [...many, change(3), ...many.slice(5)]
        .map(({ unixSeconds }) => unixSeconds)
        .sort((a, b) => a - b)
        .slice(-20),
    );
  });

  it("uses the available numbers if a worker of another version omits one", () => {
    const { lag: _, ...rule } = told.rules[0]!;
    const older = { ...told, rules: [rule] } as unknown as Snapshot;
    for (const order of [
      [older, told],
      [told, older],
    ]) {
      expect(merge(order).rules[0]!.lag).toEqual(told.rules[0]!.lag);
    }
  });

  it("adds failures by name, including failures that only one worker has", () => {
    const withFailures = (failures: Record<string, number>): Snapshot => {
      return { ...told, sources: told.sources.map((source) => ({ ...source, failures })) };
    };
    const all = merge([withFailures({ SOURCE_TIMEOUT: 1 }), withFailures({ SOURCE_STATUS: 2, SOURCE_TIMEOUT: 3 })]);
    expect(all.sources[0]!.failures).toEqual({ SOURCE_TIMEOUT: 4, SOURCE_STATUS: 2 });
  });

  it("computes quantiles over the fetches of all workers", () => {
    const withFetches = (count: number, ms: number): Snapshot => {
      const histogram = new Histogram();
      for (let i = 0; i < count; i++) histogram.add(ms);
      return { ...told, rules: told.rules.map((rule) => ({ ...rule, fetch: histogram.read() })) };
    };
    const { fetch } = merge([withFetches(9, 3), withFetches(1, 700)]).rules[0]!;
    expect([fetch.count, quantileMs(fetch, 0.5), quantileMs(fetch, 0.99), fetch.maxMs]).toEqual([10, 5, 700, 700]);
  });

  it("adds samples by second, with the times of the slowest", () => {
    const withSamples = (...samples: Sample[]): Snapshot => ({ ...told, samples });
    const workers = [
      withSamples(sample(1, 10, 3), sample(2, 20, null)),
      withSamples(sample(1, 1, 5), sample(2, 2, 4)),
      withSamples(),
    ];
    expect(merge(workers).samples).toMatchObject([
      { unixSeconds: 1, requests: 11, clients: 2, p99Ms: 5 },
      { unixSeconds: 2, requests: 22, clients: 2, p99Ms: 4 },
    ]);
  });

  it("lists the most requested keys of all workers", () => {
    const key = (name: string, gets: number) => ({ key: name, gets, lastGetMs: 0, freshMs: 0, failures: 0 });
    const one = { ...told, trackedKeys: Array.from({ length: 20 }, (_, i) => key(`a${i}`, 40 - i)) };
    const other = { ...told, trackedKeys: [key("b", 39.5), key("c", 1)] };
    const names = merge([one, other]).trackedKeys.map(({ key: name }) => name);
    expect(names).toHaveLength(20);
    expect(names.slice(0, 3)).toEqual(["a0", "b", "a1"]);
  });
});
