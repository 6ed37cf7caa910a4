/** What `import … from "platypus"` gives. */
export {
  createPlatypus,
  type GetterOptions,
  type PlatypusServer,
  type ServerOptions,
  type TargetOptions,
} from "./create-platypus.ts";
export { ConfigError, PlatypusError } from "./errors.ts";
export type { Getter, GetterRequest, GetterResult, GetterValue } from "./getter.ts";
