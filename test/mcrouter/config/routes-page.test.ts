import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { routeRefusals } from "../../../src/mcrouter/config/route-refusals.ts";
import { handles } from "../../../src/mcrouter/handles.ts";

describe("docs/routes.md", () => {
  const page = readFileSync(new URL("../../../docs/routes.md", import.meta.url), "utf8");
  const section = (title: string) => page.split(/^## /m).find((part) => part.startsWith(`${title}\n`))!;
  const handleRows = section("Handles")
    .split("\n")
    .filter((line) => /^\| `/.test(line));

  it("has a row for every handle, and no other rows", () => {
    const told = handleRows.flatMap((row) => [...row.split("|")[1]!.matchAll(/`(\w+)`/g)].map(([, name]) => name!));
    expect(told.sort()).toEqual(Object.keys(handles).sort());
  });

  it("names every refused handle", () => {
    const refused = section("Refused handles");
    for (const name of Object.keys(routeRefusals)) expect(refused).toContain(`\`${name}\``);
  });
});
