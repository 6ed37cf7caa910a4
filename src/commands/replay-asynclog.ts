/**
 * `platypus replay-asynclog FOLDER`: repeats the deletes that failed because a server was down.
 */
import { UsageError } from "../errors.ts";
import type { ReplayResult } from "../mcrouter/report/replay.ts";
import { loadWing } from "../observe/mcrouter-wing.ts";
import { parseOptions } from "./options.ts";

export const REPLAY_HELP = `platypus replay-asynclog FOLDER [--dry-run]: repeat the deletes that were kept while a server was down

  Repeats the deletes that mcrouter or Platypus kept below FOLDER (--async-dir) because a server was down. Lines of completed
  deletes are removed; lines whose server still does not answer stay for the next run.

  --dry-run    only count the deletes

  platypus replay-asynclog /var/spool/mcrouter --dry-run
  platypus replay-asynclog /var/spool/mcrouter

Exit codes: 0 all deletes are done, 1 some are left, 2 wrong usage.
`;

/** Throws a UsageError for wrong arguments or a folder that cannot be read. */
export async function replayAsyncLog(args: readonly string[]): Promise<void> {
  const { folder, isDryRun } = readOptions(args);
  const isTerminal = process.stderr.isTTY === true;
  const show = (result: ReplayResult) => {
    if (isTerminal) process.stderr.write(`\r${result.files} files, ${result.done} deletes done, ${result.left} left`);
  };
  const { replayAsyncLogs } = await loadWing();
  let result: ReplayResult;
  try {
    result = await replayAsyncLogs(folder, isDryRun, show);
  } catch (error) {
    throw new UsageError(`${folder}: ${(error as Error).message}`);
  }
  if (isTerminal) process.stderr.write("\n");
  const { files, done, left, unreadable } = result;
  const odd = unreadable === 0 ? "" : `, ${unreadable} lines are no deletes`;
  process.stdout.write(`${files} files: ${done} deletes done, ${left} left${odd}\n`);
  if (left > 0 && !isDryRun) process.exitCode = 1;
}

function readOptions(args: readonly string[]): { folder: string; isDryRun: boolean } {
  const parsed = parseOptions(args, { "dry-run": { type: "boolean" } });
  const [folder, ...others] = parsed.positionals;
  if (folder === undefined || others.length > 0) {
    throw new UsageError("replay-asynclog takes one folder: platypus replay-asynclog FOLDER");
  }
  return { folder, isDryRun: parsed.values["dry-run"] ?? false };
}
