/**
 * Readiness: false before the first connection to a server, and while the process drains.
 */
import type { Backend } from "../../proxy/backend/backend.ts";

const DRAINING = "draining";
/** As many timeouts as take a server out by default, less the first. */
const GREETING_REPEATS = 2;

/** Readiness of this process, and of all workers. */
export class Readiness {
  /** True if no new clients are accepted. */
  isDraining = false;
  /** True if a new worker has replaced this one: then this worker's drain does not affect the readiness of all. */
  hasSuccessor = false;
  private readonly backends: () => readonly Backend[] | null;
  private readonly hasAnyConnected: (() => Promise<boolean>) | null;
  private isConnected = false;

  /**
   * `backends` returns the servers of the current configuration; `null` if they are not known yet. `hasAnyConnected` asks all workers whether one of them
   * has connected to a server; `null` if there are no other workers.
   */
  constructor(backends: () => readonly Backend[] | null, hasAnyConnected: (() => Promise<boolean>) | null) {
    this.backends = backends;
    this.hasAnyConnected = hasAnyConnected;
  }

  /** Reason why this process is not ready. `null` if it is ready. */
  notReady(): string | null {
    return this.isDraining ? DRAINING : this.notConnected();
  }

  /**
   * Reason why all workers are not ready. A worker that has just replaced another may not have connected to a server
   * yet.
   */
  async noneIsReady(): Promise<string | null> {
    // A worker with a successor can still get a request that arrived just before it closed the address.
    if (this.isDraining && !this.hasSuccessor) return DRAINING;
    this.greetUnlessConnected();
    const reason = this.notConnected();
    if (reason === null || this.hasAnyConnected === null) return reason;
    this.isConnected ||= await this.hasAnyConnected();
    return this.isConnected ? null : reason;
  }

  /** True if a server has been connected to, or if there are no servers. */
  hasConnected(): boolean {
    const backends = this.backends();
    this.isConnected ||=
      backends !== null && (backends.length === 0 || backends.some(({ version }) => version !== null));
    return this.isConnected;
  }

  /** Without TKO (mcrouter's --disable-tko) servers are not probed, and no clients come before readiness: connect here. */
  greetUnlessConnected(): void {
    if (!this.hasConnected()) this.greetBackends();
  }

  private notConnected(): string | null {
    return this.hasConnected() ? null : "no server has been connected to yet";
  }

  /** Connects before the first request. Otherwise it would be unknown whether the servers are there. */
  greetBackends(): void {
    for (const backend of this.backends() ?? []) if (backend.isUp) backend.probe(GREETING_REPEATS);
  }
}
