/** Results by mcrouter's configuration names. */
import type { Result } from "../../config/results.ts";
import { results } from "../../proxy/route/result.ts";

/** The result for a name such as "mc_res_timeout". `null` if the name is unknown. */
export function resultNamed(name: string): Result | null {
  return results.find((result) => `mc_res_${result}` === name) ?? null;
}
