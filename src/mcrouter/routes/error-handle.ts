/** ErrorRoute: answers everything with an error. */
import type { RouteConfig } from "../../config/config.ts";
import type { Result } from "../../config/results.ts";
import { ErrorRoute } from "../../proxy/route/null-route.ts";
import { isError } from "../../proxy/route/result.ts";
import { resultNamed } from "../config/result-named.ts";
import type { RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface ErrorRouteConfig extends RouteConfig {
  readonly type: "error";
  /** Text after SERVER_ERROR. "" uses the usual text of the result. */
  readonly message: string;
  readonly result: Result;
  /** Only appears in the route's name. */
  readonly isLogged: boolean;
}

export const error: RouteKind<ErrorRouteConfig> = {
  type: "error",
  handles: { ErrorRoute: (input) => [read(input)] },
  build: ({ result, message, isLogged }) => new ErrorRoute(result, message, isLogged),
};

function read({ spot, fields }: RouteInput): ErrorRouteConfig {
  if (spot.json.type === "string") return errorNode(spot.json.value);
  if (fields === null) return errorNode("");
  const isLogged = fields.boolean("enable_logging", true);
  const name = fields.string("result", "mc_res_local_error");
  const result = resultNamed(name);
  if (result === null || !isError(result)) {
    fields.complainAt(fields.get("result")!, `expected an error such as "mc_res_timeout", got ${JSON.stringify(name)}`);
  }
  return { ...errorNode(fields.string("response", "")), result: result ?? "local_error", isLogged };
}

export function errorNode(message: string): ErrorRouteConfig {
  return { type: "error", message, result: "local_error", isLogged: true };
}
