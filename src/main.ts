#!/usr/bin/env node
/**
 * The command line: selects the subcommand, and handles errors before a subcommand runs.
 *
 * Exit codes: 0 done or drained, 1 failure while running, 2 wrong usage or invalid configuration.
 */
import module from "node:module";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`Platypus needs Node >= 22.19, this is v${process.versions.node}\n`);
  process.exit(2);
}
// Before large modules are loaded, so that the second start finds compiled code.
module.enableCompileCache();
const { start } = await import("./commands/start.ts");
await start(process.argv.slice(2));
