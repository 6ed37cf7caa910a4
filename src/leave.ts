/**
 * Ends the process. `process.exit` waits for threads that look up a name or read a file, so a hanging resolver or disk
 * would keep a stopped process alive. If a thread is busy, the process executes a program that only exits, which ends
 * all threads.
 */

import { existsSync } from "node:fs";
import module from "node:module";
import { isExecutable } from "./packaged.ts";

const SHELL = "/bin/sh";
/** Node's names of operations on threads. */
const ON_THREADS = /^(GetAddrInfo|GetNameInfo|FSReq)/;
/** Versions of Node from this one on do not list the operations of `fs.readFile`. */
const SILENT_MAJOR = 26;

/** Ends with `code`; by default, with the exit code of the process. */
export function leave(code = Number(process.exitCode ?? 0)): never {
  if (process.execve !== undefined && !writesProfile() && mayBeBusy()) {
    process.emit("exit", code);
    module.flushCompileCache();
    try {
      if (existsSync(SHELL)) process.execve(SHELL, [SHELL, "-c", `exit ${code}`], {});
      // An executable file cannot run another Node program.
      if (!isExecutable) process.execve(process.execPath, [process.execPath, "-e", `process.exit(${code})`], {});
    } catch {
      // A sandbox without other programs. Before Node 26, `execve` aborts there.
    }
  }
  process.exit(code);
}

function mayBeBusy(): boolean {
  if (Number.parseInt(process.versions.node, 10) >= SILENT_MAJOR) return true;
  return process.getActiveResourcesInfo().some((name) => ON_THREADS.test(name));
}

/** True if Node was asked for files that it writes when it exits. */
function writesProfile(): boolean {
  const options = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ");
  return process.env.NODE_V8_COVERAGE !== undefined || /--(cpu|heap)-prof/.test(options);
}
