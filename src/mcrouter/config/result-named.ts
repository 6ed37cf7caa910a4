/** Results by the names that mcrouter's configurations have for them. */
import type { Result } from "../../config/results.ts";
import { results } from "../../proxy/route/result.ts";

/** By a name such as "mc_res_timeout". `null` if there is none of that name. */
export function resultNamed(name: string): Result | null {
  return results.find((result) => `mc_res_${result}` === name) ?? null;
}
