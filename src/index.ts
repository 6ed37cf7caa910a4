/** The exports of `import … from "platypus-proxy"`. */

export { ConfigError, PlatypusError } from "./errors.ts";
export type { Getter, GetterRequest, GetterResult, GetterValue, ManyGetter, ManyResults } from "./getter.ts";
export {
  createPlatypus,
  type GetterOptions,
  type ListenerOptions,
  type LogLine,
  type ManyGetterOptions,
  type PlatypusEvents,
  type PlatypusServer,
  type RefreshResult,
  type RouteOptions,
  type RuleOptions,
  type ServerOptions,
  type SourceOptions,
  type TargetOptions,
  type TelemetryOptions,
  type UserOptions,
} from "./library.ts";
export type { LibraryStats } from "./library-stats.ts";
