/** Pools of tests whose servers are leaves. */
import type { PoolConfig } from "../../../src/config/config.ts";
import type { KeyedBackend } from "../../../src/proxy/route/keyed-backend.ts";
import { LeafRoute } from "../fakes/leaf-route.ts";
import { nativeConfig, targetOf } from "./native-config.ts";

/** A pool of `count` servers, with mcrouter's placement. */
export function poolConfig(name: string, count: number, settings: Partial<PoolConfig> = {}): PoolConfig {
  const [pool] = nativeConfig(targetOf(Array.from({ length: count }, (_, i) => 20_001 + i))).pools;
  return { ...pool!, name, connections: 1, placement: { type: "ch3", salt: "" }, ...settings };
}

/** A server that is a leaf. */
export function leafBackend(name: string): KeyedBackend & { readonly leaf: LeafRoute } {
  const leaf = new LeafRoute(name);
  return {
    name,
    connectionCount: 1,
    speaksMeta: true,
    mayShare: () => true,
    send: (request) => leaf.route(request),
    leaf,
  };
}
