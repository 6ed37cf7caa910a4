/** `[server] max_memory`, for scenarios that want a bound on memory. */
import type { Setup } from "./setup.ts";

const MEBIBYTE = 2 ** 20;
/** The process may take so much of its bound. */
const TOLERANCE = 1.1;

/** `setup` with a limit of `mebibytes` MiB, and the maximum resident memory (bytes) that it guarantees. */
export function withMaxMemory(
  setup: Setup,
  mebibytes: number,
): { readonly setup: Setup; readonly maxResident: number } {
  const server = [setup.server ?? "", `max_memory = "${mebibytes}MiB"`].join("\n");
  return { setup: { ...setup, server }, maxResident: mebibytes * MEBIBYTE * TOLERANCE };
}
