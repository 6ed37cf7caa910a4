/** The kinds of routes. A new kind is a file in `routes/` and a row here. */
import type { RouteConfig } from "../config/config.ts";
import type { ReadHandle, RouteKind } from "./route-kind.ts";
import { allAsync } from "./routes/all-async-route.ts";
import { allFastest } from "./routes/all-fastest-route.ts";
import { allInitial } from "./routes/all-initial-route.ts";
import { allMajority } from "./routes/all-majority-route.ts";
import { allSync } from "./routes/all-sync-route.ts";
import { asyncLog } from "./routes/async-log-route.ts";
import { bigValue } from "./routes/big-value-route.ts";
import { blackhole } from "./routes/blackhole-route.ts";
import { error } from "./routes/error-handle.ts";
import { failover } from "./routes/failover-route.ts";
import { hash } from "./routes/hash-route.ts";
import { hashStopAllowList } from "./routes/hash-stop-allow-list-route.ts";
import { hostIdKind } from "./routes/host-id-handle.ts";
import { keyParse } from "./routes/key-parse-route.ts";
import { keySelector } from "./routes/key-selector-route.ts";
import { keySplit } from "./routes/key-split-route.ts";
import { l1l2Cache } from "./routes/l1l2-cache-route.ts";
import { l1l2SizeSplit } from "./routes/l1l2-size-split-route.ts";
import { latencyInjection } from "./routes/latency-injection-route.ts";
import { latest } from "./routes/latest-handle.ts";
import { logging } from "./routes/logging-route.ts";
import { migrate } from "./routes/migrate-route.ts";
import { missFailover } from "./routes/miss-failover-route.ts";
import { modifyExptime } from "./routes/modify-exptime-route.ts";
import { modifyKey } from "./routes/modify-key-route.ts";
import { devNull, nullKind } from "./routes/null-handle.ts";
import { operationSelector } from "./routes/operation-selector-route.ts";
import { originalClientHash } from "./routes/original-client-hash-route.ts";
import { outstandingLimit } from "./routes/outstanding-limit-route.ts";
import { destination, pool } from "./routes/pool-handle.ts";
import { prefixSelector } from "./routes/prefix-selector-route.ts";
import { random } from "./routes/random-route.ts";
import { rateLimit } from "./routes/rate-limit-route.ts";
import { shadow } from "./routes/shadow-route.ts";
import { shardSplit } from "./routes/shard-split-route.ts";
import { slowWarmUp } from "./routes/slow-warm-up-route.ts";
import { warmFrom } from "./routes/warm-from-route.ts";
import { warmUp } from "./routes/warm-up-route.ts";

/** Same order as in docs/migrating/mcrouter.md. */
export const routeKinds: readonly RouteKind[] = [
  pool,
  destination,
  hash,
  allSync,
  allFastest,
  allInitial,
  allMajority,
  allAsync,
  random,
  failover,
  missFailover,
  warmUp,
  warmFrom,
  migrate,
  shadow,
  operationSelector,
  prefixSelector,
  keySelector,
  blackhole,
  nullKind,
  devNull,
  error,
  hostIdKind,
  originalClientHash,
  latest,
  rateLimit,
  outstandingLimit,
  modifyKey,
  modifyExptime,
  logging,
  l1l2Cache,
  l1l2SizeSplit,
  keySplit,
  keyParse,
  bigValue,
  latencyInjection,
  hashStopAllowList,
  slowWarmUp,
  shardSplit,
  asyncLog,
];

/** The readers of handles by mcrouter's name. */
export const handles: Readonly<Record<string, ReadHandle>> = Object.assign(
  {},
  ...routeKinds.map((kind) => kind.handles),
);

const byType: ReadonlyMap<string, RouteKind> = new Map(routeKinds.map((kind) => [kind.type, kind]));

/** The kind of a node. */
export function kindOfNode({ type }: RouteConfig): RouteKind {
  return byType.get(type)!;
}
