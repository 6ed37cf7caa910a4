/** Commands of all protocols, for whatever is to carry them out alike. */
import fc from "fast-check";
import { arithmetic, frameBytes, words } from "../clients/binary-client.ts";
import { base64 } from "../fakes/ask.ts";

/** Keys that a text line can hold, and one that it cannot; none so long that a route could not change it. */
const textKey = fc.constantFrom("a", "b", "user:1", "b|#|x");
const strangeKey = fc.constantFrom("a b", "\x01");
const counterKey = fc.constantFrom("n", "m");
const data = fc.oneof(
  fc.constantFrom("", "x", "END", "\r\nVALUE a 0 1\r\nx\r\nEND", "get a\r\n"),
  fc.integer({ min: 1, max: 400 }).map((length) => "v".repeat(length)),
);
const exptime = fc.constantFrom(0, 100, 2_000);
/** Not the one that marks large values. */
const flags = fc.constantFrom(0, 7, 0x7fff);
const noreply = fc.constantFrom("", "", "", " noreply");

const classic = fc.oneof(
  fc.tuple(fc.constantFrom("get", "gets"), textKey).map((each) => `${each.join(" ")}\r\n`),
  fc
    .tuple(
      fc.constantFrom("get", "gets", "gat 100", "gats 100"),
      fc.array(fc.oneof(textKey, counterKey), { minLength: 2, maxLength: 5 }),
    )
    .map(([verb, keys]) => `${verb} ${keys.join(" ")}\r\n`),
  fc
    .tuple(
      fc.constantFrom("get", "delete", "touch"),
      strangeKey.filter((key) => !key.includes(" ")),
    )
    .map(([verb, key]) => `${verb} ${key}${verb === "touch" ? " 100" : ""}\r\n`),
  fc
    .tuple(fc.constantFrom("set", "set", "add", "replace", "append", "prepend"), textKey, flags, exptime, data, noreply)
    .map(
      ([verb, key, flag, time, value, quiet]) =>
        `${verb} ${key} ${flag} ${time} ${value.length}${quiet}\r\n${value}\r\n`,
    ),
  fc.tuple(textKey, data).map(([key, value]) => `cas ${key} 0 0 ${value.length} 999999\r\n${value}\r\n`),
  fc.tuple(textKey, noreply).map(([key, quiet]) => `delete ${key}${quiet}\r\n`),
  counterKey.map((key) => `set ${key} 0 0 2\r\n10\r\n`),
  fc
    .tuple(fc.constantFrom("incr", "decr"), fc.oneof(counterKey, textKey), noreply)
    .map(([verb, key, quiet]) => `${verb} ${key} 3${quiet}\r\n`),
  fc.tuple(textKey, exptime, noreply).map(([key, time, quiet]) => `touch ${key} ${time}${quiet}\r\n`),
  fc.constantFrom("incr a 0\r\n", "touch a 0\r\n"),
);

const metaKey = fc.oneof(
  textKey.map((key) => [key, ""] as const),
  fc.oneof(strangeKey, textKey).map((key) => [base64(key), " b"] as const),
);
const end = fc.constantFrom("", " q", " k", " O77", " O5 k q");
const meta = fc.oneof(
  fc
    .tuple(metaKey, fc.constantFrom("", " v", " v f s", " f v T100", " T100", " s"), end)
    .map(([[key, b], asked, more]) => `mg ${key}${b}${asked}${more}\r\n`),
  fc
    .tuple(metaKey, data, fc.constantFrom("", " T100", " F7", " ME", " MA", " MR F5 T9", " Tabc", " MX"), end)
    .map(([[key, b], value, asked, more]) => `ms ${key} ${value.length}${b}${asked}${more}\r\n${value}\r\n`),
  fc.tuple(metaKey, end).map(([[key, b], more]) => `md ${key}${b}${more}\r\n`),
  fc
    .tuple(counterKey, fc.constantFrom("", " v", " N0 J5 v", " MD D3"), end)
    .map(([key, asked, more]) => `ma ${key}${asked}${more}\r\n`),
);

const opaque = fc.integer({ min: 0, max: 0xffff_ffff });
const binary = fc
  .tuple(
    opaque,
    fc.oneof(
      fc
        .tuple(fc.constantFrom(0x00, 0x0c, 0x09, 0x0d), fc.oneof(textKey, strangeKey))
        .map(([opcode, key]) => ({ opcode, key })),
      fc
        .tuple(fc.constantFrom(0x01, 0x02, 0x03, 0x11), fc.oneof(textKey, strangeKey), data, flags)
        .map(([opcode, key, value, flag]) => ({ opcode, key, value, extras: words(flag, 0) })),
      fc.tuple(fc.constantFrom(0x0e, 0x0f), textKey, data).map(([opcode, key, value]) => ({ opcode, key, value })),
      fc.tuple(fc.constantFrom(0x04, 0x14), fc.oneof(textKey, strangeKey)).map(([opcode, key]) => ({ opcode, key })),
      fc
        .tuple(fc.constantFrom(0x05, 0x06), counterKey)
        .map(([opcode, key]) => ({ opcode, key, extras: arithmetic(3n, 5n, 0) })),
      fc.tuple(fc.constantFrom(0x1c, 0x1d), textKey).map(([opcode, key]) => ({ opcode, key, extras: words(100) })),
    ),
  )
  .map(([number, frame]) => frameBytes({ ...frame, opaque: number }));

/** One command: text, or a binary frame. */
export const treeCommand: fc.Arbitrary<string | Buffer> = fc.oneof(
  { arbitrary: classic, weight: 5 },
  { arbitrary: meta, weight: 4 },
  { arbitrary: binary, weight: 2 },
);
