import { describe, expect, it } from "vitest";
import { Problems, readSection } from "../../src/config/section.ts";
import { environmentName, settingsWith } from "../../src/config/settings.ts";
import { sourceTypes } from "../../src/sources/types.ts";

describe("the settings table", () => {
  it("has a default of the right type for each setting", () => {
    for (const [kind, settings] of Object.entries(settingsWith(sourceTypes.settings))) {
      for (const [key, row] of Object.entries(settings)) {
        if (row.default === null) continue;
        const place = { file: null, line: null, path: kind };
        const found = new Map([[key, { value: row.default, place, entry: () => place }]]);
        const problems = new Problems();
        readSection({ place, found }, { [key]: row }, problems);
        expect(() => problems.end(), `${kind}.${key}`).not.toThrow();
      }
    }
  });

  it("gives every setting one environment name in capitals", () => {
    expect(environmentName("server", null, "listen")).toBe("PLATYPUS_SERVER_LISTEN");
    expect(environmentName("target", null, "servers")).toBe("PLATYPUS_TARGET_SERVERS");
    expect(environmentName("get", "quick-start", "negative_ttl")).toBe("PLATYPUS_GET_QUICK_START_NEGATIVE_TTL");
  });
});
