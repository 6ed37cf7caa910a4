import { describe, expect, it } from "vitest";
import { formatFor } from "../../src/observe/prometheus.ts";

describe("the format of /metrics", () => {
  it.each([
    ["", "text"],
    ["*/*", "text"],
    ["text/html,application/xhtml+xml,*/*;q=0.8", "text"],
    ["text/plain; version=0.0.4", "text"],
    ["application/openmetrics-text", "openmetrics"],
    ["application/openmetrics-text; version=1.0.0; charset=utf-8", "openmetrics"],
    // Prometheus 2.42 and 3.
    [
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
      "openmetrics",
    ],
    [
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.3,*/*;q=0.2",
      "openmetrics",
    ],
    ["application/openmetrics-text;q=0,text/plain", "text"],
    ["application/openmetrics-text;q=0.4,text/plain;q=0.5", "text"],
    ["application/openmetrics-text;version=0.0.1", "text"],
    ["application/openmetrics-text;q=nonsense", "text"],
  ])("follows the Accept field %j: %s", (accept, format) => {
    expect(formatFor(accept)).toBe(format);
  });
});
