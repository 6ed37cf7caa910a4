/** Native configurations of tests with [[route]]. */
import type { Config } from "../../../src/config/config.ts";
import { treeOfRoutes } from "../../../src/mcrouter/key-routes.ts";
import { nativeConfig } from "./native-config.ts";

/** The configuration of `toml`, with the tree of its routes. */
export function routedConfig(toml: string): Config {
  const config = nativeConfig(toml);
  return { ...config, tree: treeOfRoutes(config.routes) };
}
