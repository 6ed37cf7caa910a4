/** NullRoute and DevNullRoute: answer each request with a miss or its equivalent. */
import type { RouteConfig } from "../../config/config.ts";
import { DevNullRoute, NullRoute } from "../../proxy/route/null-route.ts";
import { nothing } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const nullKind: RouteKind = {
  type: nothing.type,
  handles: { NullRoute: () => [nothing] },
  build: () => new NullRoute(),
};

const discarded: RouteConfig = { type: "devnull" };

export const devNull: RouteKind = {
  type: discarded.type,
  handles: { DevNullRoute: () => [discarded] },
  build: (_node, { counters }) => new DevNullRoute(counters),
};
