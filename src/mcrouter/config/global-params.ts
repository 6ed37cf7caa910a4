/** Parameters that a mcrouter configuration can use as `%name%` without a definition. */

import { UsageError } from "../../errors.ts";

export interface GlobalParamsInput {
  /** `/region/cluster/` */
  readonly routePrefix: string;
  readonly hostId: number;
  readonly routerName: string;
  readonly serviceName: string;
  readonly numProxies: number;
  /** Numbers and switches by option name, such as `server_timeout_ms`. */
  readonly options: Readonly<Record<string, number | boolean>>;
  /** Parameters of `--config-params`; they do not override the built-in parameters. */
  readonly configParams: ReadonlyMap<string, string>;
}

/** All parameters by name. Source: mcrouter ProxyConfigBuilder.cpp, as facts. */
export function globalParams(input: GlobalParamsInput): Record<string, string | number> {
  const [, region = "", cluster = ""] = input.routePrefix.split("/");
  const options = Object.entries(input.options).map(([name, value]) => [`mcr_opts-${name}`, String(Number(value))]);
  return {
    ...Object.fromEntries(options),
    ...Object.fromEntries(input.configParams),
    "default-route": input.routePrefix,
    "default-region": region,
    "default-cluster": cluster,
    hostid: input.hostId,
    "router-name": input.routerName,
    "service-name": input.serviceName,
    "service-router-capable": 0,
    "router-info-name": "Memcache",
    "num-proxies": input.numProxies,
  };
}

/** Reads `name:value,name:value`; the first of duplicate names counts. Throws a `UsageError` for other text. */
export function parseConfigParams(text: string): Map<string, string> {
  const params = new Map<string, string>();
  for (const pair of text === "" ? [] : text.split(",")) {
    const colon = pair.indexOf(":");
    if (colon < 1) throw new UsageError(`--config-params: expected name:value, got ${JSON.stringify(pair)}`);
    const name = pair.slice(0, colon);
    if (!params.has(name)) params.set(name, pair.slice(colon + 1));
  }
  return params;
}
