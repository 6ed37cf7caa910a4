/**
 * A node of the routing tree.
 */
import type { Request } from "../request.ts";
import type { FanOut } from "./fan-out.ts";
import type { KeyWatcher, Lanes } from "./multi-get.ts";

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
  /**
   * The part of `route` before the next route, for a retrieval of one of many keys. Returns the next route, which gets
   * the request unchanged; if this route must see the reply, it is the last of `watchers`. Returns `null`, and has no
   * effect, if the key needs `route`. `request` is retained, and only valid during the call. Absent if each key needs
   * `route`. `count`: number of keys that the call is for, 1 unless `passesAlike`.
   */
  passKey?(request: Request, watchers: KeyWatcher[], count: number): Route | null;
  /**
   * True if `passKey` treats all keys of a request alike, and does not read the key: one call is enough for all of them.
   */
  readonly passesAlike?: boolean;
  /**
   * For a route to servers: the failure domain of the request's server, which names the servers that fail together. 0 if
   * it is unknown.
   */
  failureDomain?(request: Request): number;
  /** For a route that sends each key to all of its children, and joins their replies. */
  readonly fanOut?: FanOut;
  /** Connections to servers, for routes that send to servers. */
  readonly lanes?: Lanes;
}

/** Receives the possible destinations of a request. */
export type SeeTarget = (target: Route, request: Request) => void;

/** The top of a tree, which receives clients' commands. */
export interface Root extends Route {
  /** Sends a keyless command (flush_all) to all servers below, and completes it with the worst reply. */
  broadcast(request: Request): void;
}
