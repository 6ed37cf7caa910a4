/** Refreshes that an operator or a program asked for, and the functions that receive their ends. */
import type { RefreshOutcome } from "./refresher.ts";

/** The end of a refresh. `gone`: the key is not tracked any more. */
export type RefreshEnd = RefreshOutcome["type"] | "unchanged";

export class AskedRefreshes {
  private readonly asked = new Map<string, ((end: RefreshEnd) => void)[]>();

  has(key: string): boolean {
    return this.asked.has(key);
  }

  add(key: string, ended: (end: RefreshEnd) => void): void {
    this.asked.set(key, [...(this.asked.get(key) ?? []), ended]);
  }

  /** The refresh of `key` has ended, if it was asked for. */
  end(key: string, end: RefreshEnd): void {
    const ended = this.asked.get(key);
    if (ended === undefined) return;
    this.asked.delete(key);
    for (const each of ended) each(end);
  }

  /** All keys, except for those that `isBusy`, are not refreshed any more. */
  endAll(isBusy: (key: string) => boolean): void {
    for (const key of [...this.asked.keys()]) if (!isBusy(key)) this.end(key, "gone");
  }
}

/** The end that an outcome means. */
export function endOf(outcome: RefreshOutcome): RefreshEnd {
  return outcome.type === "stored" && outcome.isUnchanged ? "unchanged" : outcome.type;
}
