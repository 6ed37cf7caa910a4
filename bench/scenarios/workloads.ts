/** All workloads, in the order of runs and reports. */
import type { Contender, Load, Scenario } from "./scenario.ts";

/** Gets in the usual form of clients. */
export const base: Load = {
  connections: 50,
  depth: 1,
  refill: "whenAllAnswered",
  operation: "get",
  keysPerRequest: 1,
  valueBytes: 100,
  rate: null,
};

interface Shape {
  readonly name: string;
  readonly goal?: number;
  readonly isQuick?: boolean;
  readonly group?: string;
  readonly x?: number;
}

/** One load on Platypus, twemproxy and a plain memcached. */
function againstTwemproxy(shape: Shape, load: Partial<Load>): Scenario {
  const all = ["platypus", "twemproxy", "direct"];
  const contenders = all.map((name) => ({ ...of(name, load), hasGoal: name === "platypus" }));
  return scenario(shape, "twemproxy", contenders);
}

/** Platypus with one configuration compared with Platypus with others. */
function againstOurselves(shape: Shape, peer: Contender, ...others: Contender[]): Scenario {
  return scenario({ group: "ourselves", ...shape }, peer.name, [peer, ...others]);
}

function of(competitor: string, load: Partial<Load> = {}): Contender {
  return { name: competitor, competitor, load: { ...base, ...load }, hasGoal: true };
}

/** A contender for comparison, without a goal. */
function unheld(competitor: string): Contender {
  return { ...of(competitor), hasGoal: false };
}

/** Platypus without any configuration, under another name. */
function plain(name: string): Contender {
  return { ...unheld("platypus"), name };
}

function scenario(shape: Shape, peer: string, contenders: readonly Contender[]): Scenario {
  const { name, goal = null, isQuick = false, group = "twemproxy", x = null } = shape;
  return { name, group, x, contenders, peer, goal, isQuick, hasGivenPeers: peer === "twemproxy" };
}

const VALUE_BYTES = [32, 1_024, 10_240, 102_400, 1_048_000];
const CONNECTIONS = [1, 10, 200, 5_000];
const POOL_SIZES = [1, 10, 30, 100];

export const workloads: readonly Scenario[] = [
  againstTwemproxy({ name: "single gets, 50 connections", goal: 1, isQuick: true }, {}),
  againstTwemproxy({ name: "pipelined 16, 50 connections", goal: 0.75, isQuick: true }, { depth: 16 }),
  againstTwemproxy({ name: "multiget of 24 keys over 3 servers", goal: 0.95, isQuick: true }, { keysPerRequest: 24 }),
  againstTwemproxy({ name: "1,000 connections", goal: 1, isQuick: true }, { connections: 1_000 }),
  againstTwemproxy({ name: "16 always in flight, 50 connections" }, { depth: 16, refill: "forEachAnswer" }),
  againstTwemproxy({ name: "nine gets for each set, 1 KiB", goal: 1 }, { operation: "mix", valueBytes: 1_024 }),
  ...VALUE_BYTES.map((valueBytes) =>
    againstTwemproxy(
      {
        name: `values of ${bytesText(valueBytes)}`,
        group: "value size, bytes",
        x: valueBytes,
        ...(valueBytes === 102_400 && { goal: 1.1 }),
      },
      { valueBytes, connections: valueBytes > 100_000 ? 10 : 50 },
    ),
  ),
  ...CONNECTIONS.map((connections) =>
    againstTwemproxy(
      { name: `${connections.toLocaleString("en")} connections, each in turn`, group: "connections", x: connections },
      { connections },
    ),
  ),
  againstOurselves({ name: "meta gets", goal: 1 }, plain("classic gets"), of("platypus", { operation: "meta" })),
  scenario({ name: "meta gets, memcached's proxy", goal: 1, group: "ourselves" }, "memcached's proxy", [
    { ...of("memcached's proxy", { operation: "meta" }), hasGoal: false },
    of("platypus", { operation: "meta" }),
  ]),
  againstOurselves({ name: "binary gets" }, plain("classic gets"), of("platypus", { operation: "binary" })),
  ...POOL_SIZES.map((count) =>
    againstOurselves(
      { name: `a pool of ${count}`, group: "pool size, servers", x: count },
      plain("a pool of 3"),
      of(`platypus, ${count} server${count === 1 ? "" : "s"}`),
    ),
  ),
  ...[50, 1_000].map((connections) =>
    againstOurselves(
      { name: `a pool of 100, ${connections.toLocaleString("en")} connections`, goal: 1.3 },
      { ...plain("a pool of 3"), load: { ...base, connections } },
      of("platypus, 100 servers", { connections }),
      ...["twemproxy", "twemproxy, 100 servers"].map((name) => ({ ...of(name, { connections }), hasGoal: false })),
    ),
  ),
  againstOurselves(
    { name: "mcrouter's file: a tree of three levels", goal: 1.3 },
    unheld("mcrouter's file, one pool"),
    of("mcrouter's file, three levels"),
  ),
  againstOurselves(
    { name: "mcrouter's file: multiget of 24 through three levels", goal: 1.25 },
    { ...unheld("mcrouter's file, one pool"), load: { ...base, keysPerRequest: 24 } },
    of("mcrouter's file, three levels", { keysPerRequest: 24 }),
  ),
  againstOurselves(
    { name: "mcrouter's file: to two pools at once" },
    unheld("mcrouter's file, one pool"),
    of("mcrouter's file, all-sync"),
  ),
  againstOurselves(
    { name: "mcrouter's file: multiget of 24 to two pools at once" },
    { ...unheld("mcrouter's file, one pool"), load: { ...base, keysPerRequest: 24 } },
    of("mcrouter's file, all-sync", { keysPerRequest: 24 }),
  ),
  againstOurselves({ name: "four routes", goal: 1.05 }, plain("no routes"), of("platypus, 4 routes")),
  againstOurselves(
    { name: "telemetry", goal: 1.03 },
    unheld("platypus, no telemetry"),
    of("platypus, traced 1 %"),
    unheld("platypus, all traced"),
  ),
  againstOurselves({ name: "TLS" }, plain("plain"), of("platypus, TLS")),
  againstOurselves(
    { name: "two workers" },
    { ...of("platypus", { connections: 200 }), hasGoal: false },
    of("platypus, 2 workers", { connections: 200 }),
  ),
  ...nearWorkloads("Zipf 1.0 over a million keys", { operation: "zipf" }),
  ...nearWorkloads("one key", { operation: "one" }),
  againstOurselves({ name: "fills" }, plain("hits"), of("platypus, filling", { operation: "fill" })),
];

/** The group of `livedWorkloads`. */
export const LIVED = "lived";

/** Workloads for processes that have lived, with values as in production. */
export const livedWorkloads: readonly Scenario[] = [
  lived("single gets, 50 connections", 0.85, {}),
  lived("pipelined 16, 50 connections", 0.5, { depth: 16 }),
  lived("multiget of 24 keys over 3 servers", 0.85, { keysPerRequest: 24 }),
  lived("1,000 connections", 0.9, { connections: 1_000 }),
  lived("nine gets for each set", 0.8, { operation: "mix" }),
  lived("single gets over Unix sockets", 0.85, {}, ", Unix socket"),
];

/** `variant` of Platypus and twemproxy, whose names end with it. */
function lived(name: string, goal: number, load: Partial<Load>, variant = ""): Scenario {
  const kib = { valueBytes: 1_024, ...load };
  const [own, peer] = [`platypus${variant}`, `twemproxy${variant}`];
  const contenders = [of(own, kib), ...[peer, "direct"].map((each) => ({ ...of(each, kib), hasGoal: false }))];
  const shape = { name: `${LIVED}: ${name}, 1 KiB`, goal, group: LIVED, isQuick: load.keysPerRequest !== undefined };
  return { ...scenario(shape, peer, contenders), hasGivenPeers: variant === "" };
}

/** Hot keys, with and without `near`. */
function nearWorkloads(name: string, load: Partial<Load>): Scenario[] {
  return [1, 16].map((depth) => {
    const shape = { name: `${name}${depth === 1 ? "" : `, pipelined ${depth}`}`, goal: 0.6, group: "hot keys" };
    const contenders = ["platypus, near 1s", "platypus", "twemproxy"].map((competitor) => {
      return { ...of(competitor, { ...load, depth }), hasGoal: competitor === "platypus, near 1s" };
    });
    return scenario(shape, "twemproxy", contenders);
  });
}

function bytesText(bytes: number): string {
  if (bytes >= 1_000_000) return `${Math.round(bytes / 2 ** 20)} MiB`;
  return bytes >= 1_024 ? `${Math.round(bytes / 1_024)} KiB` : `${bytes} bytes`;
}
