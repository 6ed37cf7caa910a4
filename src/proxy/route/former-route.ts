/**
 * The servers that a pool had before a change of its list, for the time of a handoff, or another pool that it takes the keys
 * of: keys that have moved are read from their former server and copied (`src/refresh/handoff`).
 */
import type { Backend } from "../backend/backend.ts";
import type { PoolRoute } from "./pool-route.ts";

/** Over this number, the former servers are not read any more. */
const MAX_UNSURE = 10_000;

export class FormerRoute {
  readonly route: PoolRoute;
  /** In the order of the servers. They stay connected until the handoff ends. */
  readonly members: readonly Backend[];
  readonly endMs: number;
  /**
   * Until then, gets are answered from here and nothing is copied if that is possible: processes that see the change later
   * still write to the former servers.
   */
  readonly copiesFromMs: number;
  /** False for a pool that is flushed by the same command: copies go on afterwards. */
  readonly endsWithFlush: boolean;
  /** True after a flush: nothing may be copied any more. */
  isEnded = false;
  /** Keys that a client has written and that may still be on their former server: they are not copied. */
  private readonly unsure: Set<string>;

  private constructor(
    route: PoolRoute,
    members: readonly Backend[],
    times: { readonly copiesFromMs: number; readonly endMs: number },
    unsure: Set<string> | null,
  ) {
    this.route = route;
    this.members = members;
    this.endMs = times.endMs;
    this.copiesFromMs = times.copiesFromMs;
    this.endsWithFlush = unsure === null;
    this.unsure = unsure ?? new Set();
  }

  /** The servers of a pool before a change. */
  static ofList(
    route: PoolRoute,
    members: readonly Backend[],
    times: { readonly copiesFromMs: number; readonly endMs: number },
  ): FormerRoute {
    return new FormerRoute(route, members, times, null);
  }

  /** Another pool. `before` is the same pool before a reload. */
  static ofPool(route: PoolRoute, before: FormerRoute | null): FormerRoute {
    const times = { copiesFromMs: 0, endMs: Number.POSITIVE_INFINITY };
    return new FormerRoute(route, [], times, before?.unsure ?? new Set());
  }

  mayCopy(key: string): boolean {
    return !this.isEnded && !this.unsure.has(key);
  }

  /** The delete of `key` on its former server may not have been executed. */
  doubt(key: string): void {
    this.unsure.add(key);
    if (this.unsure.size > MAX_UNSURE) this.isEnded = true;
  }

  /** The key is deleted on its former server. */
  trust(key: string): void {
    this.unsure.delete(key);
  }
}
