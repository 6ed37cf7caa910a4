/** Lets everything that is ready run: promises that are settled and what hangs on them. No time passes. */
export async function settled(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
