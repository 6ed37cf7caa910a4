import { describe, expect, it } from "vitest";
import { limitSettings, ruleDefaultSettings } from "../../src/config/settings.ts";
import { fileTypes, typeOf } from "../../src/sources/types.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";

describe("the table of source types", () => {
  it("has each name once, and finds a type by the first of its names", () => {
    const names = fileTypes.flatMap((type) => type.names);
    expect(names).toEqual([...new Set(names)]);
    for (const type of fileTypes) {
      expect(typeOf({ type: type.names[0], name: "any", ...looseLimits })).toBe(type);
    }
  });

  it("has no type with a setting that all sources have", () => {
    const shared = ["type", ...Object.keys(limitSettings), ...Object.keys(ruleDefaultSettings)];
    for (const { names, settings } of fileTypes) {
      expect(
        Object.keys(settings).filter((key) => shared.includes(key)),
        names[0],
      ).toEqual([]);
    }
  });
});
