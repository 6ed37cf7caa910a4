#!/usr/bin/env node
/**
 * The command line: which subcommand, and what goes wrong before one runs.
 *
 * Exit codes: 0 done or drained, 1 something failed while running, 2 wrong usage or configuration.
 */
import module from "node:module";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`Platypus needs Node >= 22.19, this is v${process.versions.node}\n`);
  process.exit(2);
}
// Before anything large is loaded: the second start finds its code compiled.
module.enableCompileCache();
// A reader that goes away (`platypus check FILE | head`, a log collector that died) does not end the process.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
const { holdSignals } = await import("./commands/signals.ts");
holdSignals();
const { run } = await import("./commands/run.ts");
await run(process.argv.slice(2));
// Whatever a user's own getters have left open, such as connections to a database, keeps no process that is done.
const { leave } = await import("./commands/leave.ts");
leave();
