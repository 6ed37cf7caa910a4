/** Settings that cannot change while Platypus runs. */
import { addressText, type Config } from "./config.ts";

/** One line for each of these settings that differs between `old` and `next`. */
export function needsRestart(old: Config, next: Config): string[] {
  return [
    ...(adminOf(old) === adminOf(next) ? [] : ["admin needs a restart; the old address stays"]),
    ...(twemproxyStatsOf(old) === twemproxyStatsOf(next)
      ? []
      : ["twemproxy_stats needs a restart; the old address stays"]),
    ...(listensOf(old) === listensOf(next) ? [] : ["listen needs a restart; the old addresses stay"]),
    ...(certificatesOf(old) === certificatesOf(next)
      ? []
      : ["whether clients need a certificate needs a restart; the old setting stays"]),
    ...(old.server.embeddedBytes === next.server.embeddedBytes
      ? []
      : ["embedded_size needs a restart; the old value stays"]),
  ];
}

function adminOf({ server }: Config): string {
  return server.admin === null ? "off" : addressText(server.admin.address);
}

function twemproxyStatsOf({ server: { twemproxyStats } }: Config): string {
  return twemproxyStats === null ? "off" : addressText(twemproxyStats);
}

/** Addresses that require client certificates. */
function certificatesOf({ server, access }: Config): string {
  const own = access.listeners.filter(({ hasCertificates }) => hasCertificates);
  const ofServer = server.tls === null || server.tls.ca === null ? [] : ["all"];
  return [...ofServer, ...own.flatMap(({ addresses }) => addresses.map(addressText)).sort()].join(", ");
}

function listensOf({ server }: Config): string {
  return server.listen.map(addressText).join(", ");
}
