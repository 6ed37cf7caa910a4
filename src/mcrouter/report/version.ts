/** What Platypus calls itself where mcrouter's own name is looked for. */
import { packageVersion } from "../../version.ts";

/** In `version`, `stats` and the admin answer of that name: a version that memcached's clients can read, then whose it is. */
export const mcrouterVersion = `${packageVersion} mcrouter`;
