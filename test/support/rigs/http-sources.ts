/** HTTP sources of tests. Each closes after the test that opened it. */
import { onTestFinished } from "vitest";
import type { HttpSourceConfig } from "../../../src/sources/http.ts";
import { HttpSource } from "../../../src/sources/http-source.ts";
import { looseLimits, plainRequest } from "./source-limits.ts";

export function openSource(config: HttpSourceConfig): HttpSource {
  const source = new HttpSource(config);
  onTestFinished(() => source.close());
  return source;
}

/** A source that sends a plain GET of `url`, except for the settings in `config`. */
export function plainSource(url: string, config: Partial<HttpSourceConfig> = {}): HttpSource {
  return openSource({
    type: "http",
    name: "web",
    ...looseLimits,
    ...plainRequest,
    url,
    method: "GET",
    headers: [],
    maxBodyBytes: 100_000,
    isEmptyValue: false,
    ...config,
  });
}
