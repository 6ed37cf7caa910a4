/** The version of Platypus. */
import { packagedFile } from "./packaged.ts";

/** The version in package.json. */
export const packageVersion: string = readVersion();

function readVersion(): string {
  const { version } = JSON.parse(packagedFile("package.json").toString("utf8")) as { version: string };
  return version;
}
