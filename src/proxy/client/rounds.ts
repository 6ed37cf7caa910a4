/**
 * Fair turns between clients. In each turn of the event loop a client has a share: so many keys, so many bytes. A client
 * that has used its share is not read from, and goes on in a later turn behind the others that wait.
 *
 *     turn   read A (share used) · read B · read C    ─► flush ─► next round: A goes on ─► read B · read C …
 *
 * A round begins when the clients that wait go on, and ends when the sockets have been read once more. In one round at
 * most `MAX_CONTINUED_KEYS` keys are taken up again, over all clients; the rest keeps its place in the queue.
 */

/** Keys that a client may ask for in one round; a command without a key counts as one. */
export const MAX_KEYS_PER_ROUND = 256;
/** Bytes that are read of a client in one round. */
export const MAX_BYTES_PER_ROUND = 256 * 1024;
const MAX_CONTINUED_KEYS = 2_048;

/** A client that waits for its next round. */
interface Waiting {
  /** Goes on with what was read. Called once for every `Rounds.join`. Must not throw. Returns the number of keys taken up. */
  continueReading(): number;
}

/** The rounds of a process. */
export class Rounds {
  private round = 0;
  private isScheduled = false;
  private waiting: Waiting[] = [];
  private readonly next = () => this.begin();

  /** Number of the current round. Shares that were used in another round do not count in it. */
  current(): number {
    this.schedule();
    return this.round;
  }

  /** Has `member.continueReading` called in the next round with room for it. */
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
