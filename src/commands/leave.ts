/**
 * Ends the process. `process.exit` waits for the threads that look up a name or read a file, and a resolver or a disk that
 * hangs would keep a process that has stopped. Where a thread is busy, the process becomes another program that only ends,
 * which takes all threads with it.
 */

import { existsSync } from "node:fs";
import { isExecutable } from "../packaged.ts";

const SHELL = "/bin/sh";
/** What threads are busy with, as Node names it. */
const ON_THREADS = /^(GetAddrInfo|GetNameInfo|FSReq)/;

/** Ends with the exit code that is set. */
export function leave(): never {
  const isBusy = process.getActiveResourcesInfo().some((name) => ON_THREADS.test(name));
  if (isBusy && process.execve !== undefined) {
    const code = Number(process.exitCode ?? 0);
    // Platypus as one executable file takes no program of others.
    if (!isExecutable) process.execve(process.execPath, [process.execPath, "-e", `process.exit(${code})`], {});
    else if (existsSync(SHELL)) process.execve(SHELL, [SHELL, "-c", `exit ${code}`], {});
  }
  process.exit();
}
