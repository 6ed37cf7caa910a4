/** The exports of `import … from "platypus-proxy"`. */

export { ConfigError, PlatypusError } from "./errors.ts";
export type { Getter, GetterRequest, GetterResult, GetterValue, ManyGetter, ManyResults } from "./getter.ts";
export {
  createPlatypus,
  type GetterOptions,
  type ManyGetterOptions,
  type PlatypusServer,
  type RouteOptions,
  type ServerOptions,
  type TargetOptions,
} from "./library.ts";
