/** Configurations of tests, written as users write them. */

import type { Config } from "../../../src/config/config.ts";
import { parseNative } from "../../../src/config/native.ts";
import { sourceTypes } from "../../../src/sources/types.ts";

/** The configuration of `toml`, on a free port of this machine, logging errors only, without an admin server unless it has one. */
export function nativeConfig(toml = ""): Config {
  const config = parseNative({
    file: null,
    text: toml,
    env: {},
    overrides: {
      "server.listen": "127.0.0.1:0",
      "server.log_level": "error",
      ...(/^admin =/m.test(toml) ? {} : { "server.admin": "off" }),
    },
    sourceTypes,
  });
  return config;
}

/**
 * `[target]` with the memcacheds on these ports. Its timeouts are long, unless `settings` has them: a server that is late only
 * because the machine is busy counts as up.
 */
export function targetOf(ports: readonly number[], settings = ""): string {
  const servers = ports.map((port) => `"127.0.0.1:${port}"`).join(", ");
  const patience = ["server_timeout", "connect_timeout"]
    .filter((name) => !settings.includes(name))
    .map((name) => `${name} = "5s"\n`);
  return `[target]\nservers = [${servers}]\n${settings}\n${patience.join("")}`;
}
