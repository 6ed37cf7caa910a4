/**
 * A source whose fetches end when the test says so. It serves as a Source and, with the priority it is asked with, as
 * the bounded source of a rule.
 */
import { SourceError } from "../../src/errors.ts";
import type { Captures, FetchResult } from "../../src/sources/source.ts";

/** One fetch under way. */
export interface ManualFetch {
  readonly captures: Captures;
  readonly priority: "fill" | "refresh" | undefined;
  /** Undefined where it was asked as the source of a rule. */
  readonly signal: AbortSignal | undefined;
  answer(value: string | Buffer): void;
  notThere(): void;
  fail(error?: Error): void;
}

/** Keeps every fetch, in order. */
export class ManualSource {
  readonly name = "manual";
  readonly timeoutMs = 5_000;
  readonly fetches: ManualFetch[] = [];
  /** Thrown from within the next `fetch`, before there is a promise. */
  throwNext: Error | null = null;
  closes = 0;

  fetch(captures: Captures & { readonly signal?: AbortSignal }, priority?: "fill" | "refresh"): Promise<FetchResult> {
    const error = this.throwNext;
    this.throwNext = null;
    if (error !== null) throw error;
    const { promise, resolve, reject } = Promise.withResolvers<FetchResult>();
    this.fetches.push({
      captures,
      priority,
      signal: captures.signal,
      answer: (value) => resolve({ type: "value", value: Buffer.from(value) }),
      notThere: () => resolve({ type: "notThere" }),
      fail: (failure = new SourceError("SOURCE_FAILED", "as the test wants it")) => reject(failure),
    });
    return promise;
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

  async close(): Promise<void> {
    this.closes++;
  }
}
