/**
 * Whether clients are to be sent here: not before a server has been connected to, nor while those that are here are let go.
 */
import type { Backend } from "../../proxy/backend/backend.ts";

const DRAINING = "draining";
/** As many time-outs as take a server out by default, less the first. */
const GREETING_REPEATS = 2;

/** Of this process, and of all workers. */
export class Readiness {
  /** No more clients are taken. */
  isDraining = false;
  /** Another worker has taken this one's place: that this one drains is not the state of all. */
  hasSuccessor = false;
  private readonly backends: () => readonly Backend[];
  private readonly hasAnyConnected: (() => Promise<boolean>) | null;
  private isConnected = false;

  /**
   * `backends` gives the servers of the current configuration. `hasAnyConnected` asks all workers whether one of them has
   * connected to a server; `null` if there are no other workers.
   */
  constructor(backends: () => readonly Backend[], hasAnyConnected: (() => Promise<boolean>) | null) {
    this.backends = backends;
    this.hasAnyConnected = hasAnyConnected;
  }

  /** Why clients are not to be sent to this process; null: they may be. */
  notReady(): string | null {
    return this.isDraining ? DRAINING : this.notConnected();
  }

  /** The same of all workers: one that has just taken the place of another may not have connected to a server yet. */
  async noneIsReady(): Promise<string | null> {
    // Whoever has asked a worker just before it let go of the address is answered by it when it has a successor.
    if (this.isDraining && !this.hasSuccessor) return DRAINING;
    this.greetUnlessConnected();
    const reason = this.notConnected();
    if (reason === null || this.hasAnyConnected === null) return reason;
    this.isConnected ||= await this.hasAnyConnected();
    return this.isConnected ? null : reason;
  }

  /** A server has been connected to, or there is none to connect to. */
  hasConnected(): boolean {
    const backends = this.backends();
    this.isConnected ||= backends.length === 0 || backends.some(({ version }) => version !== null);
    return this.isConnected;
  }

  /** Servers that are never left alone (mcrouter's --disable-tko) are not probed by themselves, and clients do not come. */
  greetUnlessConnected(): void {
    if (!this.hasConnected()) this.greetBackends();
  }

  private notConnected(): string | null {
    return this.hasConnected() ? null : "no server has been connected to yet";
  }

  /** Connects before the first request does: only then can anybody say whether the servers are there. */
  greetBackends(): void {
    for (const backend of this.backends()) if (backend.isUp) backend.probe(GREETING_REPEATS);
  }
}
