/**
 * A whole run of the command line, for main.ts and for the executable file alike.
 */
/** Runs, and ends the process. */
export async function start(args: readonly string[]): Promise<void> {
  // A reader that goes away (`platypus check FILE | head`, a log collector that died) does not end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const { holdSignals } = await import("./signals.ts");
  holdSignals();
  const { run } = await import("./run.ts");
  await run(args);
  // Whatever a user's own getters have left open, such as connections to a database, keeps no process that is done.
  const { leave } = await import("./leave.ts");
  leave();
}
