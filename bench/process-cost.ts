/** What a process costs, read from Linux's /proc: CPU time to the nanosecond, and resident memory. */

import { readdirSync, readFileSync } from "node:fs";

/** The process and all that descend from it. */
export function processTree(pid: number): number[] {
  const pids = [pid];
  for (const parent of pids) {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "latin1");
    pids.push(...children.split(" ").filter(Boolean).map(Number));
  }
  return pids;
}

/** CPU time of each thread of some processes, by "pid/tid", in nanoseconds. */
export type CpuReading = ReadonlyMap<string, number>;

/**
 * Reads all threads of `pids`: proc(5), /proc/PID/task/TID/schedstat, first field, user and system together. Exact while
 * the threads sleep; a running one is up to a tick behind.
 */
export function readCpu(pids: readonly number[]): CpuReading {
  const reading = new Map<string, number>();
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const text = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1");
      reading.set(`${pid}/${thread}`, Number.parseInt(text, 10));
    }
  }
  return reading;
}

/** Microseconds used between two readings. Threads that ended in between are not counted, new ones are. */
export function cpuMicrosBetween(before: CpuReading, after: CpuReading): number {
  let nanos = 0;
  for (const [thread, time] of after) nanos += time - (before.get(thread) ?? 0);
  return nanos / 1000;
}

/** Resident memory of all `pids` in bytes; pages they share are counted for each. */
export function residentBytes(pids: readonly number[]): number {
  let bytes = 0;
  for (const pid of pids) {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    bytes += Number(kib ?? 0) * 1024;
  }
  return bytes;
}
