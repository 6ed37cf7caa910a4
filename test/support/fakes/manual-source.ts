/**
 * A source whose fetches end when the test says so. It serves as a Source and, with the priority it is asked with, as
 * the bounded source of a rule.
 */
import { SourceError } from "../../../src/errors.ts";
import type { Captures, FetchResult, Freshness } from "../../../src/sources/source.ts";

/** One fetch under way. */
export interface ManualFetch {
  readonly captures: Captures;
  readonly priority: "fill" | "refresh" | undefined;
  /** Undefined where it was asked as the source of a rule. */
  readonly signal: AbortSignal | undefined;
  /** The tag that it was asked with. */
  readonly tag: string | null;
  answer(value: string | Buffer, said?: { readonly tag?: string; readonly freshness?: Freshness }): void;
  unchanged(freshness?: Freshness, tag?: string): void;
  notThere(): void;
  fail(error?: Error): void;
}

/** Keeps every fetch, in order. */
export class ManualSource {
  readonly name = "manual";
  readonly timeoutMs = 5_000;
  hasRoomForRefresh = true;
  /** True if fetches continue after their signal was aborted. */
  isDeaf = false;
  readonly fetches: ManualFetch[] = [];
  /** The next `fetch` throws this before it returns a promise. */
  throwNext: Error | null = null;
  closes = 0;
  /** Fills are refused with this error. `null` if they are admitted. */
  refusal: SourceError | null = null;
  /** Fills that were admitted and have neither begun nor ended. */
  admitted = 0;

  fetch(
    captures: Captures & { readonly tag?: string | null; readonly signal?: AbortSignal },
    priority?: "fill" | "refresh",
    tag: string | null = captures.tag ?? null,
  ): Promise<FetchResult> {
    const error = this.throwNext;
    this.throwNext = null;
    if (error !== null) throw error;
    const { promise, resolve, reject } = Promise.withResolvers<FetchResult>();
    captures.signal?.addEventListener("abort", () => {
      if (!this.isDeaf) reject(captures.signal!.reason);
    });
    this.fetches.push({
      captures,
      priority,
      signal: captures.signal,
      tag,
      answer: (value, said = {}) => {
        const { tag: newTag = null, freshness = null } = said;
        resolve({ type: "value", value: Buffer.from(value), tag: newTag, freshness });
      },
      unchanged: (freshness, newTag) =>
        resolve({ type: "unchanged", freshness: freshness ?? null, ...(newTag !== undefined && { tag: newTag }) }),
      notThere: () => resolve({ type: "notThere" }),
      fail: (failure = new SourceError("SOURCE_FAILED", "as the test wants it")) => reject(failure),
    });
    return promise;
  }

  admitFill(): SourceError | null {
    if (this.refusal === null) this.admitted++;
    return this.refusal;
  }

  admitRefresh(): boolean {
    return this.hasRoomForRefresh;
  }

  endRefresh(): void {}

  endAdmission(): void {
    this.admitted--;
  }

  /** Keys of all fetches so far. */
  get keys(): string[] {
    return this.fetches.map(({ captures }) => captures.key);
  }

  /** The latest fetch. */
  get last(): ManualFetch {
    const last = this.fetches.at(-1);
    if (last === undefined) throw new Error("nothing has been fetched");
    return last;
  }

  describe(): string[] {
    return [];
  }

  async close(): Promise<void> {
    this.closes++;
  }
}
