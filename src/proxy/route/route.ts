/**
 * A node of the routing tree.
 */
import type { Request } from "../request.ts";

/**
 * Takes requests. `route` completes the request once, at once or later, with a reply; a route that must see the reply
 * of what it passes on pushes itself on the request first.
 */
export interface Route {
  readonly name: string;
  route(request: Request): void;
  /** Sends a keyless command (flush_all) to every server below and completes it with the worst reply. */
  broadcast(request: Request): void;
}
