/**
 * The embedded store as a pool that can fail, and whose answers the test can hold back. It executes each call at once, as a
 * server does that answers late: later calls for the key see its effect.
 */
import { BackendError } from "../../../src/errors.ts";
import type { PoolItem, PoolValue, WriteResult } from "../../../src/proxy/reply.ts";
import { ItemStore } from "../../../src/proxy/store/item-store.ts";
import { EmbeddedPoolPort } from "../../../src/refresh/pool/embedded-pool-port.ts";
import type { PoolPort } from "../../../src/refresh/pool/pool-port.ts";
import type { ManualClock } from "./manual-clock.ts";

/** What happens to a call. A call that is not answered fails as if its connection were lost. */
export type Fate = "answered" | "done, not answered" | "late, not answered" | "never done";

/** A pool of one server. */
export class SlowPool implements PoolPort {
  readonly store: ItemStore;
  /** Every call so far, such as `add k` or `read k`. */
  readonly calls: string[] = [];
  /** True if nothing is executed and every call fails. */
  isDown = false;
  /** True if other processes use it too. */
  isFleet = false;
  /** True if calls are executed, but not answered before `release`. */
  isHolding = false;
  /** Decides about each call, which is given as in `calls`. */
  fate: (call: string) => Fate = () => "answered";
  private readonly port: EmbeddedPoolPort;
  private readonly kept: (() => void)[] = [];
  private readonly late: (() => void)[] = [];

  /** `store` is that of another port to the same servers. */
  constructor(clock: ManualClock, store?: ItemStore) {
    this.store = store ?? new ItemStore(1 << 30, 1 << 20, () => clock.unixSeconds());
    this.port = new EmbeddedPoolPort(this.store);
  }

  noteWrite(): void {}

  noteFlush(): void {}

  /** The value of `key` as text. `null` if there is no such item. */
  value(key: string): string | null {
    return this.store.get(key)?.value.toString() ?? null;
  }

  /** Remaining TTL of the item (whole seconds). `null` if there is no such item. */
  ttl(key: string): number | null {
    const item = this.store.get(key);
    return item === undefined ? null : this.store.remainingSeconds(item);
  }

  /** A client's set through another process. */
  set(key: string, value: string, exptime = 0): void {
    this.store.store("set", key, Buffer.from(value), 0, exptime);
  }

  /** Gives the answers that were held back, in order. */
  release(): void {
    this.isHolding = false;
    for (const give of this.kept.splice(0)) give();
  }

  /** Does the calls that are late, in order. */
  deliver(): void {
    for (const run of this.late.splice(0)) run();
  }

  isShared(): boolean {
    return this.isFleet;
  }

  read(key: string): Promise<PoolItem | null> {
    return this.call("read", key, () => this.port.read(key));
  }

  get(owner: string, key: string): Promise<PoolValue | null> {
    return this.call("get", key, () => this.port.get(owner, key));
  }

  add(owner: string, key: string, value: Buffer, exptime: number): Promise<WriteResult> {
    return this.call("add", key, () => this.port.add(owner, key, value, exptime));
  }

  cas(owner: string, key: string, value: Buffer, exptime: number, cas: bigint): Promise<WriteResult> {
    return this.call("cas", key, () => this.port.cas(owner, key, value, exptime, cas));
  }

  touch(key: string, exptime: number): Promise<boolean> {
    return this.call("touch", key, () => this.port.touch(key, exptime));
  }

  deleteIf(owner: string, key: string, cas: bigint): Promise<boolean> {
    return this.call("deleteIf", key, () => this.port.deleteIf(owner, key, cas));
  }

  delete(key: string): Promise<boolean> {
    return this.call("delete", key, () => this.port.delete(key));
  }

  put(owner: string, key: string, value: Buffer, exptime: number): void {
    this.call("put", key, async () => this.port.put(owner, key, value, exptime)).catch(() => {});
  }

  drop(owner: string, key: string): void {
    this.call("drop", key, async () => this.port.drop(owner, key)).catch(() => {});
  }

  private async call<T>(name: string, key: string, run: () => Promise<T>): Promise<T> {
    const call = `${name} ${key.replace(/^platypus:(lease|extended):.*/, "$1")}`;
    this.calls.push(call);
    const isDown = this.isDown;
    const fate = this.fate(call);
    if (fate === "done, not answered") await run();
    if (fate === "late, not answered") this.late.push(() => void run());
    if (fate !== "answered") throw new BackendError("the connection is lost");
    const answer = isDown ? null : run();
    if (this.isHolding) await new Promise<void>((resolve) => this.kept.push(resolve));
    if (answer === null) throw new BackendError("the pool is down", { isRefused: true });
    return answer;
  }
}
