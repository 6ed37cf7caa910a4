/**
 * Entries in the order of their age, as a doubly linked list through the entries.
 *
 * The first key of a Map is the oldest one too, but after deletions it is expensive to find: V8's iterator steps over
 * every entry that was deleted since the table was last rebuilt.
 */

/** A list's own fields of an entry. Only the list changes them. */
export interface Aged<T> {
  older: T | null;
  newer: T | null;
}

export class AgeList<T extends Aged<T>> {
  /** `oldest` and `newest` are `null` if the list is empty. */
  oldest: T | null = null;
  newest: T | null = null;
  count = 0;

  /** Adds `entry`, which is in no list, as the newest. */
  add(entry: T): void {
    entry.older = this.newest;
    entry.newer = null;
    if (this.newest === null) this.oldest = entry;
    else this.newest.newer = entry;
    this.newest = entry;
    this.count++;
  }

  /** Removes `entry`, which is in this list. */
  remove(entry: T): void {
    const { older, newer } = entry;
    if (older === null) this.oldest = newer;
    else older.newer = newer;
    if (newer === null) this.newest = older;
    else newer.older = older;
    entry.older = null;
    entry.newer = null;
    this.count--;
  }

  clear(): void {
    this.oldest = null;
    this.newest = null;
    this.count = 0;
  }
}
