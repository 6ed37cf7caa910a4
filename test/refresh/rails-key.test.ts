import path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SourceError } from "../../src/errors.ts";
import { Pattern } from "../../src/refresh/pattern.ts";
import { decodeRailsKey, isRailsDigest } from "../../src/refresh/rails-key.ts";
import { asFilePath, asHeader, asUrl, type Escape, parseTemplate, renderTemplate } from "../../src/sources/template.ts";
import { hostileText } from "../support/vectors/hostile-text.ts";

/** As ActiveSupport's `normalize_key` escapes bytes, with two digits always. */
function railsKey(bytes: Buffer): string {
  let key = "";
  for (const byte of bytes) {
    const isEscaped = byte <= 0x20 || byte === 0x25 || byte >= 0x7f;
    key += isEscaped ? `%${byte.toString(16).toUpperCase().padStart(2, "0")}` : String.fromCharCode(byte);
  }
  return key;
}

/** Captures of `x/(.*)`, decoded. */
function capturesOf(key: string) {
  return decodeRailsKey(new Pattern("x/(?s)(.*)").match(key)!);
}

/** What a template becomes for a key of Rails, or null where the key is refused. */
function renderOrRefuse(template: string, text: string, escapeAs: Escape): string | null {
  const context = {
    ...capturesOf(railsKey(Buffer.from(`x/${text}`))),
    tag: null,
    priority: "fill" as const,
    signal: new AbortController().signal,
  };
  try {
    return renderTemplate(parseTemplate(template), context, escapeAs);
  } catch (error) {
    expect(error).toBeInstanceOf(SourceError);
    expect((error as SourceError).code).toBe("SOURCE_REFUSED");
    return null;
  }
}

describe("a Rails key", () => {
  it.each([
    ["x/plain", "plain"],
    ["x/cl%C3%A9", "clé"],
    ["x/cl%c3%a9", "clé"],
    ["x/a%20b", "a b"],
    ["x/100%25", "100%"],
    ["x/%2541", "%41"],
    ["x/%252e%252e", "%2e%2e"],
    ["x/%zz%4", "%zz%4"],
    ["x/%", "%"],
  ])("decodes once: %j to %j", (key, text) => {
    const { groups, encoding } = capturesOf(key);
    expect([groups.get("1"), encoding]).toEqual([text, "utf8"]);
  });

  it("is decoded after the match", () => {
    expect(new Pattern("x/(.)").match("x/%41")).toBeNull();
    expect(new Pattern("x/(.*)").match("x%2Fy")).toBeNull();
  });

  it("returns every byte, UTF-8 or not", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (array) => {
        const bytes = Buffer.from(array);
        const { key, groups, encoding } = capturesOf(`x/${railsKey(bytes)}`);
        expect(Buffer.from(groups.get("1")!, encoding)).toEqual(bytes);
        expect(Buffer.from(key, encoding)).toEqual(Buffer.concat([Buffer.from("x/"), bytes]));
      }),
    );
  });

  it("returns both halves of a character that a pattern splits", () => {
    const { groups, encoding } = decodeRailsKey(new Pattern("(...)(.*)").match("%C3%A9")!);
    expect(encoding).toBe("latin1");
    expect([groups.get("1"), groups.get("2")]).toEqual(["\xc3", "\xa9"]);
  });

  it.each([
    [`${"k".repeat(212)}:md5:${"0123456789abcdef".repeat(2)}`, true],
    [`k:hash:${"0123456789abcdef".repeat(2)}`, true],
    [`k:md5:${"0123456789ABCDEF".repeat(2)}`, false],
    [`k:md5:${"0".repeat(31)}`, false],
    [`k:md5:${"0".repeat(32)}/more`, false],
    [`k:sha:${"0".repeat(32)}`, false],
  ])("is recognised as ending in a digest: %j: %j", (key, isDigest) => {
    expect(isRailsDigest(key)).toBe(isDigest);
  });
});

describe("a decoded part", () => {
  it("stays in its segment in the path of a URL", () => {
    fc.assert(
      fc.property(hostileText, fc.constantFrom("{1}", "{1:path}"), (text, place) => {
        const rendered = renderOrRefuse(`/stuff/${place}/end`, text, asUrl);
        if (rendered === null) return;
        const url = new URL(`http://127.0.0.1:8080${rendered}`);
        expect([url.origin, url.pathname, url.search, url.hash]).toEqual(["http://127.0.0.1:8080", rendered, "", ""]);
        expect(url.pathname.startsWith("/stuff/") && url.pathname.endsWith("/end")).toBe(true);
        if (place === "{1}") expect(decodeURIComponent(url.pathname.split("/")[2]!)).toBe(text);
      }),
    );
  });

  it.each(["..", ".", "a/../b", "../x"])("is refused in URLs and file paths: %j", (text) => {
    expect(renderOrRefuse("/stuff/{1:path}", text, asUrl)).toBeNull();
    expect(renderOrRefuse("{1:path}", text, asFilePath)).toBeNull();
  });

  it("brings no control byte into a header", () => {
    expect(renderOrRefuse("{1}", "a\r\nX-Evil: 1", asHeader)).toBeNull();
  });

  it("stays in its segment in a file path", () => {
    expect(renderOrRefuse("{1}", "a/b", asFilePath)).toBeNull();
    expect(renderOrRefuse("{1}", "a\0b", asFilePath)).toBeNull();
    fc.assert(
      fc.property(hostileText, fc.constantFrom("{1}", "{1:path}", "sub/{1}.txt"), (text, template) => {
        const rendered = renderOrRefuse(template, text, asFilePath);
        if (rendered === null) return;
        expect(`${path.join("/root/folder", rendered)}/`.startsWith("/root/folder/")).toBe(true);
        expect(rendered).not.toContain("\0");
      }),
    );
  });
});
