/** `discover` of `[target]` and `[pool.NAME]`: where the list of a pool's servers comes from. */
import { isIP } from "node:net";
import { resolve } from "node:path";
import { parseAddress } from "./address.ts";
import type { DiscoveryConfig, DiscoveryPlace } from "./config.ts";
import { suggestion } from "./nearest-name.ts";
import type { Problems, Section } from "./section.ts";

const DNS_PORT = 53;
const namePattern =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/;

const forms = {
  elasticache: '"elasticache:HOST:PORT"',
  srv: '"srv:_SERVICE._tcp.NAME"',
  dns: '"dns:NAME:PORT"',
  file: '"file:PATH"',
} as const;

interface DiscoveryValues {
  readonly discover: string | null;
  readonly discoverIntervalMs: number;
  readonly discoverDns: string | null;
}

/** `null` if the servers are listed, or if `discover` is invalid, which is reported. */
export function readDiscovery(
  section: Section,
  { discover, discoverIntervalMs, discoverDns }: DiscoveryValues,
  folder: string,
  problems: Problems,
): DiscoveryConfig | null {
  const placeOf = (key: string) => section.found.get(key)?.place ?? section.place;
  if (discover === null) {
    for (const key of ["discover_interval", "discover_dns"]) {
      if (section.found.has(key)) problems.add(placeOf(key), "has no use without discover");
    }
    return null;
  }
  const dns = discoverDns === null ? null : dnsServer(discoverDns);
  if (dns === "invalid") {
    const got = JSON.stringify(discoverDns);
    problems.add(placeOf("discover_dns"), `expected the IP address of a DNS server, such as "10.0.0.2:53", got ${got}`);
  }
  const place = placeOfText(discover, folder);
  if (typeof place === "string") {
    problems.add(placeOf("discover"), place);
    return null;
  }
  if (discoverDns !== null && place.type !== "srv" && place.type !== "dns") {
    problems.add(placeOf("discover_dns"), `has no use with ${place.type}:`);
  }
  return { ...place, text: discover, intervalMs: discoverIntervalMs, dnsServer: dns === "invalid" ? null : dns };
}

/** The place, or what is wrong with the text. */
function placeOfText(text: string, folder: string): DiscoveryPlace | string {
  const colon = text.indexOf(":");
  const kind = text.slice(0, Math.max(0, colon));
  const rest = text.slice(colon + 1);
  const got = JSON.stringify(text);
  switch (kind) {
    case "elasticache":
    case "dns": {
      const address = parseAddress(rest, folder);
      const isGood = address?.type === "tcp" && !address.isTls && address.port > 0;
      if (!isGood || (kind === "dns" && !namePattern.test(address.host))) return `expected ${forms[kind]}, got ${got}`;
      return { type: kind, host: address.host, port: address.port };
    }
    case "srv":
      return namePattern.test(rest) ? { type: "srv", name: rest } : `expected ${forms.srv}, got ${got}`;
    case "file":
      return rest === "" ? `expected ${forms.file}, got ${got}` : { type: "file", path: resolve(folder, rest) };
    default:
      return `expected ${Object.values(forms).join(" or ")}, got ${got}${suggestion(kind, Object.keys(forms))}`;
  }
}

function dnsServer(text: string): string | "invalid" {
  const address = parseAddress(text, "/");
  if (address?.type !== "tcp" || address.isTls || isIP(address.host) === 0) return "invalid";
  const host = isIP(address.host) === 6 ? `[${address.host}]` : address.host;
  const hasPort = /:\d+$/.test(text) && (isIP(address.host) === 4 || text.includes("]:"));
  return `${host}:${hasPort ? address.port : DNS_PORT}`;
}
