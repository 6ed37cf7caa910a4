/**
 * The `add` of a fetched value: its outcome, and its reversal if the reply was lost. Fills add, and so do refreshes
 * that end after their item has expired.
 */
import { hash } from "node:crypto";
import { BackendError } from "../errors.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import type { Check } from "./unsettled-writes.ts";

/** Outcome of an `add`. */
export type Added =
  /** `cas` is `null` if the servers cannot say. */
  | { readonly type: "stored"; readonly cas: bigint | null }
  | { readonly type: "notStored" }
  /** The server has not executed the `add`. */
  | { readonly type: "refused"; readonly error: unknown }
  /** The reply was lost. */
  | { readonly type: "unknown"; readonly error: unknown };

/** Waits for an `add`. Never rejects. */
export async function outcomeOf(adding: ReturnType<PoolPort["add"]>): Promise<Added> {
  try {
    const written = await adding;
    return written.result === "stored" ? { type: "stored", cas: written.cas } : { type: "notStored" };
  } catch (error) {
    return { type: error instanceof BackendError && error.isRefused ? "refused" : "unknown", error };
  }
}

/**
 * A check that deletes a value whose `add` was not answered. The cas of the item is unknown: an item with equal bytes
 * counts as the added one.
 */
export function undoAdd(port: PoolPort, key: string, value: Buffer): Check {
  // Keep a digest: keeping the bytes until the pool answers would need more memory.
  const digest = digestOf(value);
  let foreign: bigint | null = null;
  return async () => {
    const item = await port.read(key);
    if (item === null || item.cas === foreign) return false;
    const found = await port.get(key, key);
    if (found === null) return false;
    // Deleting another process's copy of these bytes costs one fetch.
    if (digestOf(found.value) === digest) return port.deleteIf(key, key, item.cas);
    foreign = item.cas;
    return false;
  };
}

function digestOf(value: Buffer): string {
  return hash("sha256", value, "base64");
}
