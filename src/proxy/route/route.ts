/**
 * A node of the routing tree.
 */
import type { Request } from "../request.ts";

/**
 * Takes requests. `route` completes the request once, at once or later, with a reply; a route that must see the reply
 * of what it passes on pushes itself on the request first, or passes on another request for the same thing.
 */
export interface Route {
  /** What it is and what it was told to do, in the words of mcrouter's `route_handles`. */
  readonly name: string;
  route(request: Request): void;
  /** Tells `see` of every route that a request like this one may be passed on to, in order, and as what. Sends nothing. */
  forEachTarget(request: Request, see: SeeTarget): void;
}

/** Is shown where a request may go. */
export type SeeTarget = (target: Route, request: Request) => void;

/** The top of a tree: what clients' commands are handed to. */
export interface Root extends Route {
  /** Sends a keyless command (flush_all) to every server below and completes it with the worst reply. */
  broadcast(request: Request): void;
}
