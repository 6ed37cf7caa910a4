/** The plainest reader of templates that configuration tests need. */

import type { NativeHooks } from "../../src/config/native-source.ts";

/** Names between braces; an open brace without its end is an error. */
export const templateNames: NativeHooks = {
  checkTemplate(text) {
    if (/\{[^}]*$/.test(text)) throw new Error("placeholder without its closing }");
    return [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1]!);
  },
};
