/** The snapshots of several workers → one of all of them, as of the one server that clients see. */
import { fields } from "./kinds.ts";
import { type Snapshot, snapshotRows } from "./snapshot.ts";

const together = fields(snapshotRows);

/** One snapshot of all; there is at least one. */
export function merge(snapshots: readonly Snapshot[]): Snapshot {
  return snapshots.reduce((one, other) => together(one, other));
}
