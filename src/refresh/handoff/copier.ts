/**
 * Copies a key from its former server to its server, as a fill does: the former server is the source. The copy takes the
 * key's lease, reads, and adds the item and ends the lease in one write. A client's write ends the lease before it takes
 * effect, so that the copy is deleted again if a write came in between.
 *
 *     lease taken ─► read from the former server ─► add, end of the lease ─► copied
 *       │ another        │ not there                  │ an item is there: newer in the pool
 *       └► elsewhere     └► absent                    └ the lease is gone: a client wrote; the copy is deleted
 *
 * A client's write first deletes the key on its former servers, and waits for that; only then does it drop the lease and go
 * to the key's server. So each copy that reads the former server before the delete holds a lease that the write ends.
 */
import type { Clock } from "../../clock.ts";
import type { FormerRoute } from "../../proxy/route/former-route.ts";
import { outcomeOf, undoAdd } from "../adding.ts";
import { Lease, leaseMs } from "../lease.ts";
import type { RoutedPoolPort, WholeItem } from "../pool/routed-pool-port.ts";
import type { UnsettledWrites } from "../unsettled-writes.ts";

/** Maximum time that a copy takes (ms), for its lease. */
const COPY_MS = 1_000;
/** Maximum time for which a delete at a former server is repeated (ms). */
const MAX_CHECK_MS = 900_000;
const MAX_RELATIVE_SECONDS = 30 * 24 * 3600;
/** Pauses between two looks for the copy of another process (ms). */
const LOOKS_MS = [5, 10, 20, 40, 80, 160];

export interface HandoffCounters {
  /** Keys that were copied; that were in neither place; that a client's write has overtaken; whose copy failed. */
  copied: number;
  absent: number;
  overtaken: number;
  failed: number;
}

export function newHandoffCounters(): HandoffCounters {
  return { copied: 0, absent: 0, overtaken: 0, failed: 0 };
}

/** Former servers of the pool, and the port to them. */
export interface Former {
  readonly servers: FormerRoute;
  readonly port: RoutedPoolPort;
}

/** `stored`: the key's server has an item now. `absent`: none of the former servers has the key. */
export type CopyResult = "stored" | "absent" | "overtaken" | "elsewhere" | "failed";

export class Copier {
  private readonly port: RoutedPoolPort;
  private readonly clock: Clock;
  private readonly unsettled: UnsettledWrites;
  private readonly counters: HandoffCounters;

  constructor(port: RoutedPoolPort, clock: Clock, unsettled: UnsettledWrites, counters: HandoffCounters) {
    this.port = port;
    this.clock = clock;
    this.unsettled = unsettled;
    this.counters = counters;
  }

  /**
   * The item on the first of the former servers that has it. `null` if none has it. A server that does not answer counts
   * as one without the item: it is not waited for longer than a request to it. Never rejects.
   */
  async read(key: string, former: readonly Former[]): Promise<WholeItem | null> {
    for (const { servers, port } of former) {
      if (!servers.mayCopy(key)) continue;
      const item = await port.item(key).catch(() => null);
      // An item that expires within this second is not worth a copy.
      if (item !== null && item.ttlSeconds !== 0) return item;
    }
    return null;
  }

  /** False for a short time after a change of the servers: see `FormerRoute.copiesFromMs`. */
  shouldCopy(former: readonly Former[]): boolean {
    const nowMs = this.clock.nowMs();
    return former.every(({ servers }) => servers.copiesFromMs <= nowMs);
  }

  /** A key that was missed is at none of its former servers. */
  noteAbsent(): void {
    this.counters.absent++;
  }

  /** Copies the key if one of the former servers has it. Never rejects. */
  async copy(key: string, former: readonly Former[]): Promise<CopyResult> {
    const lease = new Lease(this.port, key);
    let proof: bigint | null;
    try {
      proof = await lease.take(COPY_MS);
    } catch {
      void this.unsettled.settle(() => lease.retract(), { forMs: leaseMs(COPY_MS) });
      return this.counted("failed");
    }
    if (proof === null) return "elsewhere";
    const item = await this.read(key, former);
    if (item === null || !this.unsettled.hasRoom) {
      lease.giveBack(proof, this.unsettled, COPY_MS, this.port);
      return this.counted("absent");
    }
    return this.counted(await this.store(key, item, lease, proof));
  }

  /** `copy`, and waits for the copy of another process. */
  async copyOrAwait(key: string, former: readonly Former[]): Promise<CopyResult> {
    for (const pauseMs of LOOKS_MS) {
      const result = await this.copy(key, former);
      if (result !== "elsewhere") return result;
      await new Promise<void>((resolve) => this.clock.setTimer(pauseMs, resolve));
      if (await this.isStored(key)) return "stored";
    }
    return "elsewhere";
  }

  /** True if the key's server has an item. */
  async isStored(key: string): Promise<boolean> {
    return (await this.port.read(key).catch(() => null)) !== null;
  }

  /**
   * Deletes the key on its former servers, before a client's write. Resolves when they have answered, or do not answer in
   * time. Then they are asked again later, and this process copies the key from them no more.
   */
  async removeFormer(key: string, former: readonly Former[]): Promise<void> {
    await Promise.all(
      former.map(async ({ servers, port }) => {
        if (servers.isEnded) return;
        const check = async () => {
          // Another process, or a route before a reload, may be copying the key to that server.
          new Lease(port, key).drop();
          await port.remove(key);
          servers.trust(key);
          return true;
        };
        try {
          await check();
        } catch {
          servers.doubt(key);
          void this.unsettled.settle(check, {
            forMs: Math.min(MAX_CHECK_MS, Math.max(0, servers.endMs - this.clock.nowMs())),
          });
        }
      }),
    );
  }

  /** Deletes the key on its server. Sent before this returns. */
  remove(key: string): void {
    this.port.remove(key).catch(() => {});
  }

  /** Ends leases of copies and fills of the key. Sent before this returns. */
  dropLease(key: string): void {
    new Lease(this.port, key).drop();
  }

  private async store(key: string, item: WholeItem, lease: Lease, proof: bigint): Promise<CopyResult> {
    // In one write: if the process died between two writes, an unchecked value would remain.
    const adding = outcomeOf(this.port.addItem(key, item, this.exptimeOf(item)));
    const ending = lease.release(proof).then(
      (isHeld) => (isHeld ? "held" : "lost"),
      () => "unknown" as const,
    );
    const [added, right] = await Promise.all([adding, ending]);
    if (right === "unknown") lease.giveBack(proof, this.unsettled, COPY_MS, this.port);
    if (added.type === "notStored") return right === "lost" ? "overtaken" : "stored";
    if (added.type === "refused") return "failed";
    if (right === "held") return added.type === "stored" ? "stored" : "failed";
    const { cas } = added.type === "stored" ? added : { cas: null };
    const undo =
      cas === null ? undoAdd(this.port, key, item.value) : () => this.port.deleteIf(key, key, cas).then(() => true);
    void this.unsettled.settle(undo);
    return "overtaken";
  }

  private exptimeOf({ ttlSeconds }: WholeItem): number {
    if (ttlSeconds < 0) return 0;
    return ttlSeconds > MAX_RELATIVE_SECONDS ? this.clock.unixSeconds() + ttlSeconds : ttlSeconds;
  }

  private counted(result: CopyResult): CopyResult {
    if (result === "stored") this.counters.copied++;
    else if (result !== "elsewhere") this.counters[result]++;
    return result;
  }
}
