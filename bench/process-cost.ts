/** The cost of processes from Linux's /proc: CPU time in nanoseconds, and resident memory. */

import { readdirSync, readFileSync } from "node:fs";

/** The process and all of its descendants. */
export function processTree(pid: number): number[] {
  const pids = [pid];
  for (const parent of pids) {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "latin1");
    pids.push(...children.split(" ").filter(Boolean).map(Number));
  }
  return pids;
}

/** CPU time of each thread of several processes, by "pid/tid", in nanoseconds. */
export type CpuReading = ReadonlyMap<string, number>;

/**
 * Reads all threads of `pids`: proc(5), /proc/PID/task/TID/schedstat, first field, user and system time together. The
 * value is exact while the threads sleep; for a running thread it is up to a tick old.
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

/** Microseconds of CPU time between two readings. Threads that ended in between are not counted; new threads are. */
export function cpuMicrosBetween(before: CpuReading, after: CpuReading): number {
  let nanos = 0;
  for (const [thread, time] of after) nanos += time - (before.get(thread) ?? 0);
  return nanos / 1000;
}

/** Resident memory of all `pids` in bytes. Shared pages count for each process. */
export function residentBytes(pids: readonly number[]): number {
  let bytes = 0;
  for (const pid of pids) {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    bytes += Number(kib ?? 0) * 1024;
  }
  return bytes;
}
