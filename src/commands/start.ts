/** A run of the command line, for main.ts and for the executable file. */
/** Runs the command line and ends the process. */
export async function start(args: readonly string[]): Promise<void> {
  // A closed output (`platypus check FILE | head`, a log collector that died) does not end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const { holdSignals } = await import("./signals.ts");
  holdSignals();
  const { run } = await import("./run.ts");
  await run(args);
  // Handles that a user's getters left open, such as database connections, do not keep the process alive.
  const { leave } = await import("../leave.ts");
  leave();
}
