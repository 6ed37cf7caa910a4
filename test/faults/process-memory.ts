/** Resident memory of a process and its children, from Linux's /proc (proc(5): VmRSS, VmHWM, clear_refs). */
import { readFileSync, writeFileSync } from "node:fs";
import { processTree, residentBytes } from "../../bench/process-cost.ts";

/** Memory that is resident now, of a process and its children. */
export function residentNow(pid: number): number {
  return residentBytes(processTree(pid));
}

/** Makes `peakResident` begin anew. */
export function resetPeak(pid: number): void {
  for (const each of processTree(pid)) writeFileSync(`/proc/${each}/clear_refs`, "5");
}

/** The sum of the peaks of a process and its children since `resetPeak`. */
export function peakResident(pid: number): number {
  let bytes = 0;
  for (const each of processTree(pid)) {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${each}/status`, "latin1"))?.[1];
    bytes += Number(kib ?? 0) * 1024;
  }
  return bytes;
}
