/**
 * Records which keys clients have written through this process since a refresh read them. Routing trees have no cas: a
 * refresh writes only if its mark is still there. Marks outlive reloads, so that a refresh in progress notices writes
 * under the next configuration.
 */

/** Over this number of marks, all refreshes in progress count as overtaken. */
const MAX_MARKS = 100_000;

export class ReadMarks {
  private readonly marks = new Map<string, bigint>();
  private reads = 0n;

  /** Called before `key` is read: a write before the reply counts as a write after it. */
  mark(key: string): bigint {
    if (this.marks.size >= MAX_MARKS) this.marks.clear();
    const mark = ++this.reads;
    this.marks.set(key, mark);
    return mark;
  }

  /** Removes `mark` and returns true if no client has written `key` since. */
  take(key: string, mark: bigint): boolean {
    if (this.marks.get(key) !== mark) return false;
    this.marks.delete(key);
    return true;
  }

  /** Called before a client's write of `key`. */
  noteWrite(key: string): void {
    this.marks.delete(key);
  }

  /** Called before a client's flush. */
  noteFlush(): void {
    this.marks.clear();
  }
}
