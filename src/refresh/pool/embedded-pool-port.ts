/**
 * The pool port over the embedded store, for fills and refreshes.
 */
import { BackendError } from "../../errors.ts";
import type { PoolItem, PoolValue, WriteResult } from "../../proxy/reply.ts";
import type { ItemStore, StoreOutcome } from "../../proxy/store/item-store.ts";
import type { ReadMarks } from "./read-marks.ts";

/** The PoolPort over the in-process store. Its results are available within the turn. */
export class EmbeddedPoolPort {
  private readonly store: ItemStore;
  private readonly marks: ReadMarks | null;

  /** `marks` belong to refreshes that may be in progress through a routing tree. */
  constructor(store: ItemStore, marks: ReadMarks | null = null) {
    this.store = store;
    this.marks = marks;
  }

  /** Only this process uses the store. */
  isShared(): boolean {
    return false;
  }

  async read(key: string): Promise<PoolItem | null> {
    const item = this.store.peek(key);
    return item === undefined ? null : { ttlSeconds: this.store.remainingSeconds(item), cas: BigInt(item.cas) };
  }

  async get(_owner: string, key: string): Promise<PoolValue | null> {
    const item = this.store.get(key);
    return item === undefined ? null : { value: item.value, flags: item.flags };
  }

  async add(_owner: string, key: string, value: Buffer, exptime: number): Promise<WriteResult> {
    return writeResult(this.store.store("add", key, value, 0, exptime));
  }

  async cas(_owner: string, key: string, value: Buffer, exptime: number, cas: bigint): Promise<WriteResult> {
    return writeResult(this.store.compareAndSet(key, value, 0, exptime, Number(cas)));
  }

  async touch(key: string, exptime: number): Promise<boolean> {
    const item = this.store.peek(key);
    if (item !== undefined) this.store.expire(item, exptime);
    return item !== undefined;
  }

  async deleteIf(_owner: string, key: string, cas: bigint): Promise<boolean> {
    return this.store.delete(key, Number(cas)) === "deleted";
  }

  async delete(key: string): Promise<boolean> {
    return this.store.delete(key) === "deleted";
  }

  put(_owner: string, key: string, value: Buffer, exptime: number): void {
    this.store.store("set", key, value, 0, exptime);
  }

  drop(_owner: string, key: string): void {
    this.store.delete(key);
  }

  noteWrite(key: string): void {
    this.marks?.noteWrite(key);
  }

  noteFlush(): void {
    this.marks?.noteFlush();
  }
}

function writeResult(outcome: StoreOutcome): WriteResult {
  if (outcome.result === "stored") return { result: "stored", cas: BigInt(outcome.cas) };
  if (outcome.result === "tooLarge") {
    throw new BackendError("the value is larger than the embedded store takes", { isRefused: true });
  }
  return { result: outcome.result };
}
