/**
 * Gets that hit, in the four shapes that cost a proxy differently: one request per read, many per read, one request
 * spread over all servers, and many mostly idle sockets.
 */

/** One workload and the goal it is held to. */
export interface Scenario {
  readonly name: string;
  readonly connections: number;
  /** Requests each connection keeps in flight. */
  readonly depth: number;
  readonly keysPerRequest: number;
  /** Highest wanted ratio of our CPU per request to twemproxy's. */
  readonly goal: number;
  /** Part of `--quick`. */
  readonly isQuick: boolean;
}

/** In the order they are run and printed. */
export const hits: readonly Scenario[] = [
  { name: "single gets, 50 connections", connections: 50, depth: 1, keysPerRequest: 1, goal: 1.05, isQuick: true },
  { name: "pipelined 16, 50 connections", connections: 50, depth: 16, keysPerRequest: 1, goal: 0.8, isQuick: true },
  { name: "multiget of 24 keys over 3 servers", connections: 50, depth: 1, keysPerRequest: 24, goal: 1, isQuick: true },
  { name: "1,000 connections", connections: 1000, depth: 1, keysPerRequest: 1, goal: 1.05, isQuick: true },
];
