/**
 * Which Platypus this is.
 */
import { readFileSync } from "node:fs";

/** The version in package.json, which lies one folder up from the sources and from the built files alike. */
export const packageVersion: string = readVersion();

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return version;
}
