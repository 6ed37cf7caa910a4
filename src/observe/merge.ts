/** The snapshots of several workers → one snapshot, because clients see one server. */
import { fields } from "./kinds.ts";
import { type Snapshot, snapshotRows } from "./snapshot.ts";

const together = fields(snapshotRows);

/** Merges at least one snapshot. */
export function merge(snapshots: readonly Snapshot[]): Snapshot {
  return snapshots.reduce((one, other) => together(one, other));
}
