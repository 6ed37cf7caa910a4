/**
 * Which keys clients have written through this process since they were read for a refresh. Routing trees have no cas: a
 * refresh writes only if its mark is still there. The marks outlive reloads, so that a refresh under way notices writes that
 * come in under the next configuration.
 */

/** With more marks at once, all refreshes under way count as overtaken. */
const MAX_MARKS = 100_000;

export class ReadMarks {
  private readonly marks = new Map<string, bigint>();
  private reads = 0n;

  /** Called before `key` is read: a write that comes before the answer counts as one that came after it. */
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

  /** A client is about to write `key`. */
  noteWrite(key: string): void {
    this.marks.delete(key);
  }

  /** A client is about to write every key. */
  noteFlush(): void {
    this.marks.clear();
  }
}
