/** `[source.NAME.batch]`: the settings that all types with batches have. */
import { duration, integer, type Settings } from "../config/setting.ts";
import type { SourceInput } from "./source-type.ts";

/** Rows of a type with these defaults. */
export function batchSettings<const Max extends number, const Wait extends string>(max: Max, wait: Wait) {
  return {
    "batch.max": {
      field: "batchMaxKeys",
      type: integer(1, 10_000),
      default: max,
      meaning: "Maximum number of keys in one call.",
    },
    "batch.wait": {
      field: "batchWaitMs",
      type: duration("0s", "10s"),
      default: wait,
      meaning: "Time that a miss waits for others before their call. `0s`: only misses of the same turn share a call.",
    },
    "batch.refresh_wait": {
      field: "batchRefreshWaitMs",
      type: duration("0s", "1m"),
      default: "500ms",
      meaning: "Time that a refresh waits for others before their call. At most a quarter of `timeout` by default.",
    },
  } as const satisfies Settings;
}

/** Limits of the calls for several keys. */
export interface BatchLimits {
  readonly maxKeys: number;
  readonly waitMs: number;
  readonly refreshWaitMs: number;
}

interface BatchValues {
  readonly batchMaxKeys: number;
  readonly batchWaitMs: number;
  readonly batchRefreshWaitMs: number;
}

/** Checks the waits: they are part of the timeout of a fetch. */
export function readBatchLimits(
  { batchMaxKeys, batchWaitMs, batchRefreshWaitMs }: BatchValues,
  { found, placeOf, problems, timeoutMs }: SourceInput,
): BatchLimits {
  const limited = (key: string, ms: number): number => {
    if (ms < timeoutMs / 2) return ms;
    if (found(key) !== undefined) problems.add(placeOf(key), "expected less than half of the source's timeout");
    return timeoutMs / 4;
  };
  return {
    maxKeys: batchMaxKeys,
    waitMs: limited("batch.wait", batchWaitMs),
    refreshWaitMs: limited("batch.refresh_wait", batchRefreshWaitMs),
  };
}
