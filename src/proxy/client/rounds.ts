/**
 * Fair turns between clients. In each turn of the event loop a client has a share of keys and bytes. After a client has
 * used its share, its input is not read further; it continues in a later turn, after the other waiting clients.
 *
 *     turn   read A (share used) · read B · read C    ─► flush ─► next round: A continues ─► read B · read C …
 *
 * A round begins when the waiting clients continue, and ends after the sockets have been read once more. In one round,
 * at most `MAX_CONTINUED_KEYS` keys are continued over all clients; the rest keeps its place in the queue.
 */

/** Maximum number of keys per client and round. A command without a key counts as one. */
export const MAX_KEYS_PER_ROUND = 256;
/** Maximum number of bytes that are read from a client per round. */
export const MAX_BYTES_PER_ROUND = 256 * 1024;
const MAX_CONTINUED_KEYS = 2_048;

/** A client that waits for its next round. */
interface Waiting {
  /**
   * Continues with the input that was read. Called once for each `Rounds.join`. Must not throw. Returns the number of
   * keys.
   */
  continueReading(): number;
}

/** The rounds of a process. */
export class Rounds {
  private round = 0;
  private isScheduled = false;
  private waiting: Waiting[] = [];
  private readonly next = () => this.begin();

  /** Number of the current round. Shares used in another round do not count. */
  current(): number {
    this.schedule();
    return this.round;
  }

  /** Calls `member.continueReading` in the next round with room. */
  join(member: Waiting): void {
    this.waiting.push(member);
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(this.next);
  }

  private begin(): void {
    this.isScheduled = false;
    this.round++;
    const members = this.waiting;
    this.waiting = [];
    let keys = 0;
    let i = 0;
    while (i < members.length && keys < MAX_CONTINUED_KEYS) keys += members[i++]!.continueReading();
    if (i === members.length) return;
    this.waiting = [...members.slice(i), ...this.waiting];
    this.schedule();
  }
}
