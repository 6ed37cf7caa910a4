/**
 * Gets that hit, in the four shapes that cost a proxy differently: one request per read, many per read, one request
 * spread over all servers, and many mostly idle sockets.
 */

import type { Job } from "../job.ts";

/** One workload and the goal it is held to. */
export interface Scenario {
  readonly name: string;
  readonly connections: number;
  /** Requests each connection has in flight at most, and when it sends further ones (see `Job`). */
  readonly depth: number;
  readonly refill: Job["refill"];
  readonly keysPerRequest: number;
  /** Highest wanted ratio of our CPU per request to twemproxy's; null: measured for its own sake. */
  readonly goal: number | null;
  /** Part of `--quick`. */
  readonly isQuick: boolean;
}

/** In the order they are run and printed. */
export const hits: readonly Scenario[] = [
  { ...hit("single gets, 50 connections"), goal: 1.05 },
  { ...hit("pipelined 16, 50 connections"), depth: 16, goal: 0.8 },
  { ...hit("multiget of 24 keys over 3 servers"), keysPerRequest: 24, goal: 1 },
  { ...hit("1,000 connections"), connections: 1000, goal: 1.05 },
  { ...hit("16 always in flight, 50 connections"), depth: 16, refill: "forEachAnswer", isQuick: false },
];

function hit(name: string): Scenario {
  return { name, connections: 50, depth: 1, refill: "whenAllAnswered", keysPerRequest: 1, goal: null, isQuick: true };
}
