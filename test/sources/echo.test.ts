import { describe, expect, it } from "vitest";
import { EchoSource } from "../../src/sources/echo.ts";
import { binaryContextOf, contextOf } from "../support/fakes/fetch-context.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";

function sourceOf(template: string): EchoSource {
  return new EchoSource({ type: "echo", name: "echo", template, ...looseLimits });
}

describe("the echo source", () => {
  it("answers with its template and the parts of the key", async () => {
    expect(await sourceOf("<{1}|{key}>").fetch(contextOf("a/b", ["b"]))).toEqual({
      type: "value",
      tag: null,
      freshness: null,
      value: Buffer.from("<b|a/b>"),
    });
  });

  it("keeps the bytes of template and key side by side, UTF-8 or not", async () => {
    const result = await sourceOf("é{key}é").fetch(binaryContextOf("\xff"));
    expect(result).toMatchObject({ type: "value", value: Buffer.from([0xc3, 0xa9, 0xff, 0xc3, 0xa9]) });
    expect(await sourceOf("é{key}").fetch(contextOf("ключ"))).toMatchObject({
      type: "value",
      value: Buffer.from("éключ"),
    });
  });

  it("answers with an empty value for an empty template", async () => {
    expect(await sourceOf("").fetch(contextOf("k"))).toMatchObject({ type: "value", value: Buffer.alloc(0) });
  });
});
