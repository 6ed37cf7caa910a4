import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { withMetricList } from "../../scripts/docs/metric-list.ts";

it("docs/metrics.md lists the metrics as implemented (npm run docs)", () => {
  const page = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
  expect(withMetricList(page)).toBe(page);
});
