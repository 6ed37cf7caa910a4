import path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SourceError } from "../../src/errors.ts";
import type { FetchContext } from "../../src/sources/source.ts";
import {
  asBytes,
  asFilePath,
  asHeader,
  asSecretName,
  asUrl,
  type Escape,
  parseTemplate,
  renderTemplate,
  templateNames,
} from "../../src/sources/template.ts";
import { binaryContextOf, contextOf } from "../support/fakes/fetch-context.ts";
import { hostileText } from "../support/vectors/hostile-text.ts";

function render(template: string, context: FetchContext, escapeAs: Escape): string {
  return renderTemplate(parseTemplate(template), context, escapeAs);
}

/** What is rendered, or null where the key is refused. */
function renderOrRefuse(template: string, context: FetchContext, escapeAs: Escape): string | null {
  try {
    return render(template, context, escapeAs);
  } catch (error) {
    expect(error).toBeInstanceOf(SourceError);
    expect((error as SourceError).code).toBe("SOURCE_REFUSED");
    return null;
  }
}

describe("a template", () => {
  const context = contextOf("the key", ["one", "two"]);

  it.each([
    ["plain", "plain"],
    ["{1}-{2}", "one-two"],
    ["a{key}b", "athe keyb"],
    ["{$1}%(2){$key}%(key)", "onetwothe keythe key"],
    ["{{1}}", "{1}"],
    ["{{{1}}}", "{one}"],
    ["%(", "%("],
    ["100%", "100%"],
    ["", ""],
  ])("expands %j to %j", (template, text) => {
    expect(render(template, context, asBytes)).toBe(text);
  });

  it.each(["{", "}", "a{1", "{1}}", "{a-b}", "{}", "{1:paths}", "{ 1 }"])("names the bad place in %j", (template) => {
    expect(() => parseTemplate(template)).toThrow(/at position \d+ belongs to no \{name\}/);
  });

  it("lists the names that it needs", () => {
    expect(templateNames(parseTemplate("x{1}y{name}{1:path}%(key)"))).toEqual(["1", "name", "1", "key"]);
  });

  it("is refused if it uses a name that the pattern does not have", () => {
    expect(() => render("{3}", context, asBytes)).toThrow('the pattern has no capture "3"');
  });

  it("returns the bytes of a key, in either encoding", () => {
    expect(render("{key}", contextOf("ключ"), asBytes)).toBe(Buffer.from("ключ").toString("latin1"));
    expect(render("{key}", binaryContextOf("\xff\x80a"), asBytes)).toBe("\xff\x80a");
  });

  it("is not expanded again after a part was inserted", () => {
    expect(render("{1}", contextOf("", ["{2}%(2)"]), asBytes)).toBe("{2}%(2)");
  });
});

describe("a template in a URL", () => {
  it.each([
    ["a b", "a%20b"],
    ["a/b", "a%2Fb"],
    ["100%", "100%25"],
    ["%2e%2e", "%252e%252e"],
    ["ключ", "%D0%BA%D0%BB%D1%8E%D1%87"],
    ["a-b_c.d~e", "a-b_c.d~e"],
    ["...", "..."],
    ["a..b", "a..b"],
    ["?#&=+@:;\\x", "%3F%23%26%3D%2B%40%3A%3B%5Cx"],
    ["\r\n\0", "%0D%0A%00"],
  ])("expands %j to %j", (part, text) => {
    expect(render("{1}", contextOf("", [part]), asUrl)).toBe(text);
  });

  it("percent-encodes bytes that are not UTF-8 one by one", () => {
    expect(render("{key}", binaryContextOf("\xffa\x80"), asUrl)).toBe("%FFa%80");
  });

  it("keeps slashes in {1:path} and encodes the rest", () => {
    expect(render("{1:path}", contextOf("", ["a/b c/d"]), asUrl)).toBe("a/b%20c/d");
  });

  it.each([".", "..", "a/..", "../a", "a/./b", "a\\..\\b", "/.."])("refuses the part %j", (part) => {
    for (const template of ["{1}", "{1:path}"])
      expect(renderOrRefuse(template, contextOf("", [part]), asUrl)).toBeNull();
  });

  it("never lets a key change the origin or a literal segment, or add a query, a fragment or a line", () => {
    const templates = ["/stuff/{1}/x/{2}.json", "/stuff/a-{1}/x/{2}", "/stuff/{key}/x/{2}"];
    fc.assert(
      fc.property(fc.constantFrom(...templates), hostileText, hostileText, (template, one, two) => {
        const text = renderOrRefuse(template, contextOf(one, [one, two]), asUrl);
        if (text === null) return;
        expect(text).toMatch(/^[!-~]*$/);
        const url = new URL(`http://127.0.0.1:8080${text}`);
        expect(url.origin).toBe("http://127.0.0.1:8080");
        expect([url.username, url.password, url.search, url.hash]).toEqual(["", "", "", ""]);
        expect(url.pathname).toBe(text);
        const segments = url.pathname.split("/");
        expect(segments).toHaveLength(5);
        expect([segments[1], segments[3]]).toEqual(["stuff", "x"]);
        const decoded = decodeURIComponent(segments[2]!);
        expect(decoded.endsWith(one)).toBe(true);
      }),
    );
  });

  it("never lets a key in {1:path} leave the literal segments around it", () => {
    fc.assert(
      fc.property(hostileText, (one) => {
        const text = renderOrRefuse("/stuff/{1:path}/end", contextOf(one, [one]), asUrl);
        if (text === null) return;
        const url = new URL(`http://127.0.0.1:8080${text}`);
        expect(url.origin).toBe("http://127.0.0.1:8080");
        expect(url.pathname).toBe(text);
        expect(url.pathname.startsWith("/stuff/")).toBe(true);
        expect(url.pathname.endsWith("/end")).toBe(true);
        expect(url.search + url.hash).toBe("");
      }),
    );
  });

  it("never lets a key in a query begin another parameter", () => {
    fc.assert(
      fc.property(hostileText, (one) => {
        const text = renderOrRefuse("/q?a={1}&b=2", contextOf(one, [one]), asUrl);
        if (text === null) return;
        const { searchParams } = new URL(`http://127.0.0.1:8080${text}`);
        expect([...searchParams]).toEqual([
          ["a", one],
          ["b", "2"],
        ]);
      }),
    );
  });
});

describe("a template in a header", () => {
  it.each(["\r", "\n", "a\r\nX-Evil: 1", "\0", "\x7f", "\t"])("refuses the part %j", (part) => {
    expect(renderOrRefuse("{1}", contextOf("", [part]), asHeader)).toBeNull();
  });

  it("never lets a key bring in a control byte", () => {
    fc.assert(
      fc.property(hostileText, (one) => {
        const text = renderOrRefuse("Bearer {1}", contextOf("", [one]), asHeader);
        if (text === null) return;
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
        expect(text).not.toMatch(/[\x00-\x1f\x7f\u0100-\uffff]/);
        expect(Buffer.from(text, "latin1").toString()).toBe(`Bearer ${one}`);
      }),
    );
  });
});

describe("a template in a file path", () => {
  it("keeps a part in one segment", () => {
    expect(render("{1}.json", contextOf("", ["a b é"]), asFilePath)).toBe("a b é.json");
    expect(renderOrRefuse("{1}", contextOf("", ["a/b"]), asFilePath)).toBeNull();
    expect(render("{1:path}", contextOf("", ["a/b"]), asFilePath)).toBe("a/b");
  });

  it.each(["..", ".", "a/../b", "\0", "a\\b"])("refuses the part %j", (part) => {
    expect(renderOrRefuse("{1:path}", contextOf("", [part]), asFilePath)).toBeNull();
  });

  it("refuses bytes that are not UTF-8, because they would all give one name", () => {
    expect(renderOrRefuse("{1}", binaryContextOf("", ["\xff"]), asFilePath)).toBeNull();
    expect(renderOrRefuse("{1}", binaryContextOf("", ["ok"]), asFilePath)).toBe("ok");
  });

  it("never lets a key leave the folder", () => {
    const templates = ["{1}", "{1:path}", "sub/{1}.txt", "sub/{1:path}", "x{1:path}"];
    fc.assert(
      fc.property(fc.constantFrom(...templates), hostileText, (template, one) => {
        const text = renderOrRefuse(template, contextOf(one, [one]), asFilePath);
        if (text === null) return;
        const file = path.join("/root/folder", text);
        expect(file === "/root/folder/" || file === "/root/folder" || file.startsWith("/root/folder/")).toBe(true);
        expect(text).not.toContain("\0");
      }),
    );
  });
});

describe("a template in the name of a secret", () => {
  it("inserts a part unchanged", () => {
    expect(render("app/{1}-{2:path}", contextOf("", ["A-z0/9_+=.@", "a/b"]), asSecretName)).toBe("app/A-z0/9_+=.@-a/b");
    expect(render("app/{1}", contextOf("", ["a".repeat(250)]), asSecretName)).toHaveLength(254);
  });

  it.each(["..", ".", "a/..", "\r\n", "a\n", "\0", " ", "%2e", "é", ":", "*", "?", "\\", "{1}"])(
    "refuses the part %j",
    (part) => {
      for (const template of ["{1}", "{1:path}"])
        expect(renderOrRefuse(template, contextOf("", [part]), asSecretName)).toBeNull();
    },
  );

  it("refuses bytes that are not UTF-8", () => {
    expect(renderOrRefuse("{1}", binaryContextOf("", ["\xe9"]), asSecretName)).toBeNull();
  });

  it("never lets a key bring in another character or leave its place, and accepts every key in AWS' alphabet", () => {
    fc.assert(
      fc.property(hostileText, (one) => {
        const text = renderOrRefuse("app/{1}/end", contextOf(one, [one]), asSecretName);
        const isName = /^[A-Za-z0-9/_+=.@-]*$/.test(one) && !one.split("/").some((each) => /^\.\.?$/.test(each));
        expect(text).toBe(isName ? `app/${one}/end` : null);
      }),
    );
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9/_+=@-]{0,250}$/), (one) => {
        expect(render("app/{1}/end", contextOf(one, [one]), asSecretName)).toBe(`app/${one}/end`);
      }),
    );
  });
});
