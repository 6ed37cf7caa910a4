/** The pool of the model of a fleet: each call is a message to the server, which is executed when the explorer says so. */
import { BackendError } from "../../../src/errors.ts";
import type { PoolItem, PoolValue, WriteResult } from "../../../src/proxy/reply.ts";
import type { PoolPort } from "../../../src/refresh/pool/pool-port.ts";

export const TTL_SECONDS = 60;
/** Each process and each client numbers its own items. */
const CAS_STEP = 1_000n;
/** One error for all losses: to make an error with its stack costs more than all else. */
const connectionLost = new BackendError("the connection is lost");

export interface Item {
  readonly value: string;
  readonly cas: bigint;
  /** Version of the source that a negative result stands for. */
  readonly version: number;
}

export interface Message {
  readonly text: string;
  /** Executes it; answers if `isAnswered`. */
  readonly run: (isAnswered: boolean) => void;
  /** Tells its process that the connection is lost. */
  readonly fail: () => void;
}

/** The process that uses the port. */
interface Caller {
  readonly index: number;
  /** To the server, in order. */
  readonly messages: Message[];
  /** Values that it has read from the pool. */
  readonly read: Set<string>;
  /** Number of its writes that were executed. */
  writes: bigint;
  readonly emptyVersion: number;
  /** The text of a value; a token of a lease is replaced by its number. */
  nameOf(value: Buffer): string;
  hear(text: string): void;
}

/** A port of `process` to `items`. Values of `valueKey` that are deleted by their cas are added to `undone`. */
export function modelPort(process: Caller, valueKey: string, items: Map<string, Item>, undone: Set<string>): PoolPort {
  const call = <T>(text: string, run: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      process.messages.push({
        text,
        run: (isAnswered) => {
          const result = run();
          if (!isAnswered) return;
          process.hear(`${text}: ${describe(result)}`);
          resolve(result);
        },
        fail: () => reject(connectionLost),
      });
    });
  const put = (key: string, value: string): WriteResult => {
    const cas = BigInt(process.index + 1) * CAS_STEP + ++process.writes;
    items.set(key, { value, cas, version: process.emptyVersion });
    return { result: "stored", cas };
  };
  return {
    isShared: () => true,
    noteWrite: () => {},
    noteFlush: () => {},
    read: (key) =>
      call(`read ${key}`, (): PoolItem | null => {
        const item = items.get(key);
        return item === undefined ? null : { ttlSeconds: TTL_SECONDS, cas: item.cas };
      }),
    get: (_owner, key) => {
      return call(`get ${key}`, (): PoolValue | null => {
        const item = items.get(key);
        if (item === undefined) return null;
        process.read.add(item.value);
        return { value: Buffer.from(item.value), flags: 0 };
      });
    },
    delete: (key) => call(`delete ${key}`, () => items.delete(key)),
    add: (_owner, key, value) => {
      const text = process.nameOf(value);
      return call(`add ${key} ${text}`, () => (items.has(key) ? { result: "notStored" as const } : put(key, text)));
    },
    cas: (_owner, key, value, _exptime, cas) => {
      const text = process.nameOf(value);
      return call(`cas ${key}`, (): WriteResult => {
        const item = items.get(key);
        if (item === undefined) return { result: "notFound" };
        return item.cas === cas ? put(key, text) : { result: "exists" };
      });
    },
    touch: (key) => call(`touch ${key}`, () => items.has(key)),
    deleteIf: (_owner, key, cas) =>
      call(`deleteIf ${key} ${cas}`, () => {
        const item = items.get(key);
        if (item === undefined || item.cas !== cas) return false;
        if (key === valueKey) undone.add(item.value);
        return items.delete(key);
      }),
    put: (_owner, key, value) => {
      call(`put ${key}`, () => put(key, value.toString())).catch(() => {});
    },
    drop: (_owner, key) => {
      call(`drop ${key}`, () => items.delete(key)).catch(() => {});
    },
  };
}

function describe(result: unknown): string {
  if (result === null || typeof result !== "object") return String(result);
  if ("value" in result) return String(result.value);
  const { result: word = "", cas = "" } = result as { result?: string; cas?: bigint };
  return `${word} ${cas}`;
}
