/**
 * HostIdRoute: one child for all keys of this host.
 *
 * Source: mcrouter McRouteHandleProvider.cpp, as facts.
 */
import type { RouteConfig } from "../../config/config.ts";
import { spooky32 } from "../../proxy/hash/spooky.ts";
import { childrenOf, nothing, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface HostIdRouteConfig extends RouteConfig {
  readonly type: "host-id";
  readonly children: readonly RouteConfig[];
  readonly salt: string;
}

export const hostIdKind: RouteKind<HostIdRouteConfig> = {
  type: "host-id",
  handles: { HostIdRoute: (input) => [read(input)] },
  build: ({ children, salt }, { build, hostId }) => build(children[saltedHost(hostId, salt) % children.length]!),
};

function read(input: RouteInput): RouteConfig {
  const children = childrenOf(input);
  if (children.length === 0) return nothing;
  const node: HostIdRouteConfig = { type: "host-id", children, salt: input.fields?.string("salt", "") ?? "" };
  return node;
}

/** The host's hash with the configuration's salt. */
export function saltedHost(hostId: number, salt: string): number {
  if (salt === "") return hostId;
  const bytes = Buffer.from(`${hostId}${salt}`, "latin1");
  return spooky32(bytes, 0, bytes.length, 0);
}
