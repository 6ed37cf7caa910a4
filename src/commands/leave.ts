/**
 * Ends the process. `process.exit` waits for threads that look up a name or read a file, so a hanging resolver or disk
 * would keep a stopped process alive. If a thread is busy, the process executes a program that only exits, which ends
 * all threads.
 */

import { existsSync } from "node:fs";
import { isExecutable } from "../packaged.ts";

const SHELL = "/bin/sh";
/** Node's names of operations on threads. */
const ON_THREADS = /^(GetAddrInfo|GetNameInfo|FSReq)/;

/** Ends with the exit code of the process. */
export function leave(): never {
  const isBusy = process.getActiveResourcesInfo().some((name) => ON_THREADS.test(name));
  if (isBusy && process.execve !== undefined) {
    const code = Number(process.exitCode ?? 0);
    // An executable file cannot run another Node program.
    if (!isExecutable) process.execve(process.execPath, [process.execPath, "-e", `process.exit(${code})`], {});
    else if (existsSync(SHELL)) process.execve(SHELL, [SHELL, "-c", `exit ${code}`], {});
  }
  process.exit();
}
