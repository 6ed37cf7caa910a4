/** Where in a tree a request ends, without sending it. */
import type { Request } from "../request.ts";
import type { Route } from "./route.ts";

/** A leaf that knows its server. */
export interface ServerRoute extends Route {
  /** `host:port` or `unix:path` of the server that would be asked. */
  serverOf(request: Request): string;
}

function isServerRoute(route: Route): route is ServerRoute {
  return "serverOf" in route;
}

/** The first server that the request may reach below `route`, and the request as it arrives there; null: none. */
export function firstServerOf(route: Route, request: Request): { server: string; request: Request } | null {
  if (isServerRoute(route)) return { server: route.serverOf(request), request };
  let found: ReturnType<typeof firstServerOf> = null;
  route.forEachTarget(request, (target, passed) => {
    found ??= firstServerOf(target, passed);
  });
  return found;
}
