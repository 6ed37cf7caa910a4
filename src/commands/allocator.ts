/**
 * Settings of the C library's allocator for a process with a memory limit. By default, each freed large block raises
 * glibc's threshold for returning memory to the system, up to 32 MiB: after a burst of large values the resident set
 * stays at its peak. With a fixed threshold, large blocks are returned when they are freed.
 *
 * glibc reads these settings from the environment at process start, so the process re-executes itself once.
 *
 * Source: mallopt(3), M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX. Other C libraries ignore the variables.
 */
import { statSync } from "node:fs";
import { ownCommand } from "../packaged.ts";

const settings: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: "2",
  MALLOC_MMAP_THRESHOLD_: "65536",
  MALLOC_TRIM_THRESHOLD_: "131072",
};

/** The variables to add to `env`. Empty if the operator has set a variable of the allocator. */
export function allocatorSettings(env: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  const isChosen = Object.keys(env).some((name) => name.startsWith("MALLOC_") || name === "GLIBC_TUNABLES");
  return isChosen ? {} : settings;
}

/**
 * Replaces this process by one with the same arguments and file descriptors, and with the allocator's settings added to
 * `env`. Returns if this is impossible or already done. `file` is the configuration file, which must be readable a
 * second time. `null` if absent.
 */
export function restartWithSettings(env: NodeJS.ProcessEnv, file: string | null): void {
  const added = allocatorSettings(env);
  const { execve, platform, channel } = process;
  // The channel to a parent process is lost with the process image.
  if (platform !== "linux" || execve === undefined || channel !== undefined || Object.keys(added).length === 0) return;
  if (file !== null && !statSync(file).isFile()) return;
  // Node warns that `execve` is experimental. The warning would be the only output of this process.
  process.emitWarning = () => {};
  const [program, ...words] = ownCommand();
  execve(program, [program, ...words, ...process.argv.slice(2)], { ...env, ...added });
}
