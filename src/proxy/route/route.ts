/**
 * A node of the routing tree.
 */
import type { Request } from "../request.ts";

/**
 * Handles requests. `route` completes the request once, synchronously or later, with a reply. A route that needs the
 * reply pushes itself on the request first, or passes on another request with equal content.
 */
export interface Route {
  /** Kind and settings of the route, in the notation of mcrouter's `route_handles`. */
  readonly name: string;
  route(request: Request): void;
  /**
   * Calls `see` for each route that a request like this one may be passed on to, in order, with the request. Sends no
   * request.
   */
  forEachTarget(request: Request, see: SeeTarget): void;
}

/** Receives the possible destinations of a request. */
export type SeeTarget = (target: Route, request: Request) => void;

/** The top of a tree, which receives clients' commands. */
export interface Root extends Route {
  /** Sends a keyless command (flush_all) to all servers below, and completes it with the worst reply. */
  broadcast(request: Request): void;
}
