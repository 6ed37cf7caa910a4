/** Parts of keys as an attacker would choose them. */
import fc from "fast-check";

const words = [
  ...["..", ".", "%2e", "%2E%2e", "%2f", "%5c", "%00", "%", "@", "#", "?", "&", "=", ";", ":", "//", "/", "\\"],
  ...["\r", "\n", "\r\n", "\0", "\t", " ", "\x7f", "é", "ß", "漢", "😀", "\u2028", "\ufeff", "\uff0e", "a", "evil.com"],
  ...["http:", "..;", "{1}", "{key}", "$", "'", '"', "<", "|", "`", "[", "]", "^", "~", "*"],
];

/** Up to 250 bytes of UTF-8. */
export const hostileText: fc.Arbitrary<string> = fc
  .oneof(
    fc.array(fc.constantFrom(...words), { maxLength: 12 }).map((parts) => parts.join("")),
    fc.string({ unit: "binary", maxLength: 80 }),
    fc.constantFrom(...words).map((word) => word.repeat(250)),
  )
  .map((text) => {
    let short = text;
    while (Buffer.byteLength(short) > 250) short = short.slice(0, -1);
    return short.toWellFormed();
  });
