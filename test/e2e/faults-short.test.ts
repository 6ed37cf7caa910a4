/** `npm run faults` with short scenarios and small loads: nothing wrong, nothing lost, and the end of all trouble. */
import { afterAll, describe, expect, it } from "vitest";
import { SHORT_PACE } from "../faults/measure.ts";
import { scenarios } from "../faults/scenarios/all.ts";
import { Session } from "../faults/session.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const session = new Session(SHORT_PACE, 1);

afterAll(() => session.end());

describe.skipIf(MemcachedProcess.isMissing)("other clients receive only correct answers, each in time", () => {
  // Those on the same setup share it.
  const setups = [...new Set(scenarios.map(({ setup }) => setup))];
  const inOrder = setups.flatMap((setup) => scenarios.filter((scenario) => scenario.setup === setup));
  for (const scenario of inOrder) {
    it(`while: ${scenario.title}`, { timeout: 40_000 }, async (test) => {
      const reason = scenario.skipped?.(true) ?? null;
      test.skip(reason !== null, reason ?? "");
      const result = await session.run(scenario);
      const lost = scenario.allows.includes("closes") ? 0 : result.lost;
      expect({ wrong: result.wrong, lost, broken: result.broken.filter(isUntimed) }).toEqual({
        wrong: 0,
        lost: 0,
        broken: [],
      });
      expect(result.requests).toBeGreaterThan(0);
    });
  }
});

/** Failures of requests are a question of time-outs, and so of how busy this machine is. */
function isUntimed(broken: string): boolean {
  return !/^(?:failed|missedFills|refused)/.test(broken);
}
