/**
 * A get of many or of large values. Its reply is written in the order of its keys while the values arrive. Platypus
 * only asks for as many keys as the client has room for, so neither Platypus nor a server's connection holds the whole
 * reply.
 *
 *     keys    written │ held, waiting for an earlier key │ in flight │ not requested yet
 *                     ▲ due                                          ▲ next
 *
 * Keys are requested one by one, or in groups if values are known to be small. Values without room are dropped, and
 * their keys are requested again when it is their turn. The client's connection writes the END line, as the reply to
 * the whole request.
 */
import { fixedReply, missReply, type Reply, Status } from "../reply.ts";
import { KeyList, type ReplyOwner, type Request } from "../request.ts";
import { singleOf } from "../route/multi-get.ts";
import { blocksBytes, END_BYTES, joinBlocks } from "../wire/classic-writer.ts";
import { READ_AHEAD_BYTES, type ReadAhead, type ValueSizes } from "./read-ahead.ts";
import { MAX_KEYS_PER_ROUND } from "./rounds.ts";

/** A get of more keys is always streamed. The connection to a server gathers the reply to a shorter get. */
const MAX_GATHERED_KEYS = 64;
/** Number of keys in a group. The connection to a server gathers the reply to a group. */
const GROUP_KEYS = 64;
/** Maximum size of values that are held until the value of an earlier key arrives. */
const MAX_HELD_BYTES = 8 * 1024 * 1024;

const State = { unasked: 0, inFlight: 1, answered: 2 } as const;

/** Placeholder for the block of a found key: its bytes are elsewhere. */
const FOUND = Buffer.alloc(0);
const endReply = fixedReply(Status.found, "END");

/**
 * Returns true if the reply to a get may be gathered in memory; otherwise it must be streamed. If the client's values
 * are unknown, this counts the keys in `sizes` until the reply (`KeyList.isUnknown`).
 */
export function admitGathered(keys: KeyList, readAhead: ReadAhead, sizes: ValueSizes): boolean {
  const { count } = keys;
  if (count > MAX_GATHERED_KEYS || readAhead.expect(count) > READ_AHEAD_BYTES) return false;
  if (readAhead.isKnown) return true;
  keys.isUnknown = sizes.admitUnknown(count);
  return keys.isUnknown;
}

/** The client's connection, from the view of the get. */
export interface StreamClient {
  readonly readAhead: ReadAhead;
  /** Number of bytes for the client that its socket has not accepted yet. */
  readonly unsentBytes: number;
  /** Routes a request for one key or a group. */
  routeKeys(request: Request): void;
  /** Writes the value of a get of one key. `reply` is only valid during the call. */
  writeValue(reply: Reply): void;
  /** Writes the gathered values of a group. They are only valid during the call. */
  writeGathered(keys: KeyList): void;
  /** Writes held values, which do not change any more. */
  writeHeld(values: Buffer): void;
  /** Calls `sendKeys` in a later turn. */
  wake(): void;
  /** No key is in flight: the routes may be replaced. */
  idle(): void;
}

/** A streamed get, from its first key to its end. Completes its request once. */
export class StreamedGet implements ReplyOwner {
  readonly request: Request;
  private readonly keys: KeyList;
  private readonly client: StreamClient;
  private readonly states: Uint8Array;
  /** Index of the first key, by request in flight. */
  private readonly firstKeys = new Map<Request, number>();
  private keysInFlight = 0;
  /** By index of the first key. */
  private readonly held = new Map<number, Buffer>();
  private due = 0;
  private next = 0;
  /** Size of the values that wait for an earlier key. */
  heldBytes = 0;
  private hasFound = false;
  /** True if all earlier replies to the client have been written. */
  private isFirst = false;
  private turnKeys: number;
  private isPaused = false;
  private isAbandoned = false;
  private hasEnded = false;

  /** `keys` are the keys of `request`. */
  constructor(request: Request, keys: KeyList, client: StreamClient) {
    this.request = request;
    this.keys = keys;
    this.client = client;
    this.states = new Uint8Array(keys.count);
    this.turnKeys = client.readAhead.firstKeys;
  }

  /** True if no key is in flight. */
  get isIdle(): boolean {
    return this.firstKeys.size === 0;
  }

  /** True if there are keys to write or to request, and room for them. */
  get wantsTurn(): boolean {
    const isDueHeld = this.isFirst && this.states[this.due] === State.answered;
    return isDueHeld ? this.client.unsentBytes < READ_AHEAD_BYTES : this.mayAsk;
  }

  /**
   * Writes held values that are due, then requests as many keys as there is room for. Returns the number of requested
   * keys.
   */
  sendKeys(): number {
    this.writeHeld();
    let sent = 0;
    const most = this.turnKeys;
    this.turnKeys = Math.min(2 * most, MAX_KEYS_PER_ROUND);
    while (sent < most && this.mayAsk) {
      const first = this.next++;
      if (this.states[first] !== State.unasked) continue;
      sent += this.ask(first);
    }
    return sent;
  }

  /** Call once, when all earlier replies to the client have been written. */
  begin(): void {
    this.isFirst = true;
    this.writeHeld();
  }

  /** Stops requesting keys until `goOn`. */
  pause(): void {
    this.isPaused = true;
  }

  goOn(): void {
    this.isPaused = false;
    this.client.wake();
  }

  /** The client has disconnected: stops requesting keys, and completes the request when no key is in flight. */
  abandon(): void {
    this.isAbandoned = true;
    this.held.clear();
    if (this.isIdle) this.end();
  }

  onReply(request: Request, reply: Reply): void {
    const first = this.firstKeys.get(request)!;
    const count = request.keys?.count ?? 1;
    this.firstKeys.delete(request);
    this.keysInFlight -= count;
    this.client.readAhead.answered(count);
    if (!this.isAbandoned) {
      this.states.fill(State.answered, first, first + count);
      if (reply.status === Status.found) this.take(first, request.keys, reply);
      else this.client.readAhead.note(0, count);
      this.writeHeld();
    }
    if (this.hasEnded) return;
    if (this.isIdle) {
      if (this.isAbandoned) this.end();
      else this.client.idle();
    }
    if (this.wantsTurn) this.client.wake();
  }

  private get mayAsk(): boolean {
    if (this.isPaused || this.isAbandoned || this.next >= this.keys.count) return false;
    const { unsentBytes, readAhead } = this.client;
    if (unsentBytes >= READ_AHEAD_BYTES) return false;
    // The due key is always requested: all others wait for it.
    if (this.isFirst && this.isIdle) return true;
    if (this.keysInFlight >= readAhead.window) return false;
    return unsentBytes + this.heldBytes + readAhead.expect(this.keysInFlight + 1) <= READ_AHEAD_BYTES;
  }

  /** Requests the key at `first`, or the group that begins with it. Returns the number of keys. */
  private ask(first: number): number {
    const { keys, states, client } = this;
    let end = first + 1;
    if (client.readAhead.isSmall) {
      const most = Math.min(first + GROUP_KEYS, keys.count);
      while (end < most && states[end] === State.unasked) end++;
    }
    const count = end - first;
    const request = singleOf(this.request, keys, first, this);
    if (count > 1) request.keys = new KeyList(keys.bytes, keys.starts.slice(first, end), keys.ends.slice(first, end));
    states.fill(State.inFlight, first, end);
    this.next = end;
    this.firstKeys.set(request, first);
    this.keysInFlight += count;
    client.routeKeys(request);
    return count;
  }

  /** Writes, holds or drops the found values. */
  private take(first: number, group: KeyList | null, reply: Reply): void {
    const { client, keys, states } = this;
    const count = group === null ? 1 : group.count;
    const bytes = group === null ? reply.end - reply.start - END_BYTES : blocksBytes(group);
    client.readAhead.note(bytes, count);
    this.hasFound = true;
    const isDue = first === this.due;
    if (isDue && this.isFirst && client.unsentBytes < READ_AHEAD_BYTES) {
      if (group === null) client.writeValue(reply);
      else client.writeGathered(group);
    } else if (isDue || this.heldBytes + bytes <= MAX_HELD_BYTES) {
      this.held.set(first, group === null ? valueBlock(reply) : joinBlocks(group));
      this.heldBytes += bytes;
    } else {
      states.fill(State.unasked, first, first + count);
      this.next = Math.min(this.next, first);
      return;
    }
    for (let i = 0; i < count; i++) if (group === null || group.blocks[i] !== null) keys.blocks[first + i] = FOUND;
  }

  /** Writes the held values of due keys, up to the first key without a reply. */
  private writeHeld(): void {
    if (!this.isFirst) return;
    const { keys, states, held, client } = this;
    while (this.due < keys.count && states[this.due] === State.answered) {
      const values = held.get(this.due);
      if (values !== undefined) {
        if (client.unsentBytes >= READ_AHEAD_BYTES) return;
        client.writeHeld(values);
        this.heldBytes -= values.length;
        held.delete(this.due);
      }
      this.due++;
    }
    if (this.due === keys.count) this.end();
  }

  private end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.request.complete(this.hasFound ? endReply : missReply);
  }
}

/** A copy of the VALUE block in the reply to a get of one key. */
function valueBlock({ chunk, start, end, isKept }: Reply): Buffer {
  const block = chunk.subarray(start, end - END_BYTES);
  return isKept ? block : Buffer.from(block);
}
