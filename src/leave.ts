/**
 * Ends the process. `process.exit` waits for threads that look up a name or read a file, so a hanging resolver or disk
 * would keep a stopped process alive, and Node does not tell about all busy threads (Node 26 leaves out those of
 * `fs.readFile`). Therefore the process executes a program that only exits, which ends all threads.
 */

import { existsSync } from "node:fs";
import module from "node:module";
import { isExecutable } from "./packaged.ts";

const SHELL = "/bin/sh";
/** Node's names of operations on threads. */
const ON_THREADS = /^(GetAddrInfo|GetNameInfo|FSReq)/;

/** Ends with `code`; by default, with the exit code of the process. */
export function leave(code = Number(process.exitCode ?? 0)): never {
  if (process.execve !== undefined && !writesProfile()) {
    process.emit("exit", code);
    module.flushCompileCache();
    if (existsSync(SHELL)) process.execve(SHELL, [SHELL, "-c", `exit ${code}`], {});
    const isBusy = process.getActiveResourcesInfo().some((name) => ON_THREADS.test(name));
    // Node starts slowly, and an executable file cannot run another program.
    if (isBusy && !isExecutable)
      process.execve(process.execPath, [process.execPath, "-e", `process.exit(${code})`], {});
  }
  process.exit(code);
}

/** True if Node was asked for files that it writes when it exits. */
function writesProfile(): boolean {
  const options = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ");
  return process.env.NODE_V8_COVERAGE !== undefined || /--(cpu|heap)-prof/.test(options);
}
