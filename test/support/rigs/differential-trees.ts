/**
 * Trees of mcrouter's routes that answer as one memcached does, for the differential tests: every path ends at the same
 * server, or at servers in step.
 */
import type { Config } from "../../../src/config/config.ts";
import { treeConfig } from "./tree-config.ts";

/** Long timeouts, so that a busy machine makes no difference. */
const patient = { server_timeout_ms: "10000", enable_flush_cmd: "1", asynclog_disable: "1" };

/** Number of servers that the trees need. No other test may use these servers. */
export const DIFFERENTIAL_SERVERS = 4;

/** The configurations by name. `ports` are those of DIFFERENTIAL_SERVERS servers. */
export async function differentialTrees(ports: readonly number[]): Promise<Map<string, Config>> {
  const [alone, one, two, other] = ports as [number, number, number, number];
  const pool = (name: string, port: number, settings: object = {}) => {
    return { type: "PoolRoute", pool: { name, servers: [`127.0.0.1:${port}`] }, ...settings };
  };
  const only = pool("alone", alone);
  const first = pool("one", one);
  const second = pool("two", two);
  const elsewhere = pool("other", other);
  // What a server refuses (a value too large) is not asked for again, behind what the client said meanwhile.
  const failover_errors = ["tko", "timeout", "connect_error"];
  const path = {
    type: "FailoverRoute",
    failover_errors,
    failover_tag: true,
    children: [
      {
        type: "OperationSelectorRoute",
        operation_policies: { get: only, incr: { type: "HashRoute", children: [only, only] } },
        default_policy: {
          type: "WarmUpRoute",
          warm: "NullRoute",
          cold: {
            type: "ModifyKeyRoute",
            set_routing_prefix: "/some/where/",
            target: {
              type: "LoggingRoute",
              target: { type: "FailoverRoute", failover_errors, children: [only, "NullRoute"] },
            },
          },
        },
      },
      only,
    ],
  };
  const shadows = [{ target: elsewhere, index_range: [0, 1], key_fraction_range: [0, 1] }];
  const copies = {
    type: "AllSyncRoute",
    children: [
      {
        type: "PrefixSelectorRoute",
        policies: { a: first, k: { type: "ShadowRoute", children: first, shadows } },
        wildcard: { type: "AllInitialRoute", children: [first, elsewhere] },
      },
      second,
    ],
  };
  const documents = { "a path of routes": path, "copies in step": copies };
  const configs = await Promise.all(
    Object.entries(documents).map(async ([name, route]) => [name, await treeConfig({ route }, patient)] as const),
  );
  // The words are memcached's here, not mcrouter's.
  const inOwnWords = (config: Config) => ({ ...config, server: { ...config.server, hasMcrouterWords: false } });
  return new Map(configs.map(([name, config]) => [name, inOwnWords(config)]));
}
