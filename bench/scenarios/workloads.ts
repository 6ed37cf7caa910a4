/** All workloads, in the order they are run and printed. */
import type { Contender, Load, Scenario } from "./scenario.ts";

const base: Load = {
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

/** The same load on Platypus, twemproxy and a bare memcached. */
function againstTwemproxy(shape: Shape, load: Partial<Load>): Scenario {
  const all = ["platypus", "twemproxy", "direct"];
  const contenders = all.map((name) => contender(name, load, name === "platypus"));
  return scenario(shape, "twemproxy", contenders);
}

/** Platypus in one way against Platypus in another. */
function againstOurselves(shape: Shape, peer: Contender, ...others: Contender[]): Scenario {
  return scenario({ group: "ourselves", ...shape }, peer.name, [peer, ...others]);
}

function contender(competitor: string, load: Partial<Load> = {}, hasGoal = true, name = competitor): Contender {
  return { name, competitor, load: { ...base, ...load }, hasGoal };
}

function scenario(shape: Shape, peer: string, contenders: readonly Contender[]): Scenario {
  const { name, goal = null, isQuick = false, group = "twemproxy", x = null } = shape;
  return { name, group, x, contenders, peer, goal, isQuick, isFill: contenders[0]!.load.operation === "fill" };
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
    againstTwemproxy({ name: `${connections.toLocaleString("en")} connections, each in turn`, group: "connections", x: connections }, { connections }),
  ),
  againstOurselves({ name: "meta gets against classic gets", goal: 1 }, contender("platypus", {}, false, "classic"), contender("platypus", { operation: "meta" }, true, "meta")),
  againstOurselves({ name: "binary gets against classic gets" }, contender("platypus", {}, false, "classic"), contender("platypus", { operation: "binary" }, true, "binary")),
  ...POOL_SIZES.map((count) =>
    againstOurselves(
      { name: `a pool of ${count} against a pool of 3`, group: "pool size, servers", x: count, ...(count === 100 && { goal: 1.3 }) },
      contender("platypus", {}, false),
      contender(`platypus, ${count} servers`),
    ),
  ),
  againstOurselves({ name: "a tree of three levels against one pool", goal: 1.3 }, contender("platypus", {}, false), contender("platypus, tree")),
  againstOurselves({ name: "to two pools at once against one pool" }, contender("platypus", {}, false), contender("platypus, all-sync")),
  againstOurselves({ name: "TLS against plain" }, contender("platypus", {}, false), contender("platypus, TLS")),
  againstOurselves({ name: "two workers against one process" }, contender("platypus", { connections: 200 }, false), contender("platypus, 2 workers", { connections: 200 })),
  againstOurselves({ name: "fills against hits", isQuick: false }, contender("platypus, filling", { operation: "fill" })),
];

function bytesText(bytes: number): string {
  if (bytes >= 1_000_000) return `${Math.round(bytes / 2 ** 20)} MiB`;
  return bytes >= 1_024 ? `${Math.round(bytes / 1_024)} KiB` : `${bytes} bytes`;
}
