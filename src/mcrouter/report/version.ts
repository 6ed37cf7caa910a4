/** The version of Platypus where mcrouter clients look for mcrouter's name. */
import { packageVersion } from "../../version.ts";

/** For `version`, `stats` and the admin command: a version that memcached clients can parse, then "mcrouter". */
export const mcrouterVersion = `${packageVersion} mcrouter`;
