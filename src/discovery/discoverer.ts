/** A way to find the servers of a pool. */
import type { DiscoveryConfig, PoolServer, TlsConfig } from "../config/config.ts";
import { AddressDiscoverer, SrvDiscoverer } from "./dns.ts";
import { ElastiCacheDiscoverer } from "./elasticache.ts";
import { FileDiscoverer } from "./file.ts";

/** An answer. An empty list counts as a failure. */
export interface FoundServers {
  readonly servers: readonly PoolServer[];
  /** True if the answer seems older than an earlier one. It counts only if it is repeated. */
  readonly isDoubtful: boolean;
}

export interface Discoverer {
  /** Asks for the list. Rejects with an Error that says why there is no answer. `known` are the servers in use. */
  look(known: readonly PoolServer[]): Promise<FoundServers>;
  /**
   * Begins to report possible changes, if the place can report them: then it is not asked at intervals. Returns the
   * function that ends this. `null` if the place must be asked.
   */
  readonly watch: ((changed: () => void) => () => void) | null;
}

export function createDiscoverer(config: DiscoveryConfig, tls: TlsConfig | null): Discoverer {
  switch (config.type) {
    case "elasticache":
      return new ElastiCacheDiscoverer(config, tls);
    case "srv":
      return new SrvDiscoverer(config.name, config.dnsServer);
    case "dns":
      return new AddressDiscoverer(config.host, config.port, config.dnsServer);
    case "file":
      return new FileDiscoverer(config.path);
  }
}
