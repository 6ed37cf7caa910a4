/** What a source is handed, with captures `{1}`, `{2}` … */

import type { FetchContext } from "../../../src/sources/source.ts";

export function contextOf(key: string, groups: readonly string[] = [], signal?: AbortSignal): FetchContext {
  return {
    key,
    groups: new Map(groups.map((text, i) => [String(i + 1), text])),
    encoding: "utf8",
    tag: null,
    priority: "fill",
    signal: signal ?? new AbortController().signal,
  };
}

/** The same of bytes that are not UTF-8, one character each. */
export function binaryContextOf(key: string, groups: readonly string[] = []): FetchContext {
  return { ...contextOf(key, groups), encoding: "latin1" };
}
