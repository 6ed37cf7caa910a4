/**
 * A get of many or of large values, answered in the order of its keys while the values arrive. No more keys are asked for
 * than the client has room for, so neither Platypus nor a server's connection holds the whole answer.
 *
 *     keys    written │ held, waiting for an earlier key │ in flight │ not asked for yet
 *                     ▲ due                                          ▲ next
 *
 * Keys go on their way one by one, or in groups where values are known to be small. Values for which there is no room any
 * more are dropped, and their keys are asked for again when their turn comes. The END line is written by the client's
 * connection, as the answer to the whole request.
 */
import { fixedReply, missReply, type Reply, Status } from "../reply.ts";
import { KeyList, type ReplyOwner, type Request } from "../request.ts";
import { singleOf } from "../route/multi-get.ts";
import { END_BYTES, joinBlocks } from "../wire/classic-writer.ts";
import { READ_AHEAD_BYTES, type ReadAhead, type ValueSizes } from "./read-ahead.ts";
import { MAX_KEYS_PER_ROUND } from "./rounds.ts";

/** A get of more keys is streamed whatever it expects: a server's connection gathers the answer to a shorter one. */
const MAX_GATHERED_KEYS = 64;
/** Keys of a group: a server's connection gathers the answer to it. */
const GROUP_KEYS = 64;
/** Values held because they came before that of an earlier key. */
const MAX_HELD_BYTES = 8 * 1024 * 1024;

const State = { unasked: 0, inFlight: 1, answered: 2 } as const;

/** In the place of the block of a key that was found: the bytes are elsewhere. */
const FOUND = Buffer.alloc(0);
const endReply = fixedReply(Status.found, "END");

/**
 * Returns whether the answer to a get may be gathered in memory; otherwise it must be streamed. If nothing is known of the client's
 * values, this counts the keys in `sizes` until the get is answered (`KeyList.isUnknown`).
 */
export function admitGathered(keys: KeyList, readAhead: ReadAhead, sizes: ValueSizes): boolean {
  const { count } = keys;
  if (count > MAX_GATHERED_KEYS || readAhead.expect(count) > READ_AHEAD_BYTES) return false;
  if (readAhead.isKnown) return true;
  keys.isUnknown = sizes.admitUnknown(count);
  return keys.isUnknown;
}

/** The client's connection, as the get sees it. */
export interface StreamClient {
  readonly readAhead: ReadAhead;
  /** Bytes written for the client that its socket has not taken. */
  readonly unsentBytes: number;
  /** Sends a request of one key or of a group on its way. */
  routeKeys(request: Request): void;
  /** Writes the value of a get of one key; `reply` is good during the call only. */
  writeValue(reply: Reply): void;
  /** Writes the values that were gathered for a group; they are good during the call only. */
  writeGathered(keys: KeyList): void;
  /** Writes values that were held, and are not changed any more. */
  writeHeld(values: Buffer): void;
  /** Has `sendKeys` called in a later turn. */
  wake(): void;
  /** No key is in flight: the routes may be replaced. */
  idle(): void;
}

/** One such get, from its first key to its end. Completes its request once. */
export class StreamedGet implements ReplyOwner {
  readonly request: Request;
  private readonly keys: KeyList;
  private readonly client: StreamClient;
  private readonly states: Uint8Array;
  /** By request in flight: index of its first key. */
  private readonly firstKeys = new Map<Request, number>();
  private keysInFlight = 0;
  /** By the index of the first key. */
  private readonly held = new Map<number, Buffer>();
  private due = 0;
  private next = 0;
  /** Bytes of values that wait for an earlier key. */
  heldBytes = 0;
  private hasFound = false;
  /** All earlier answers to the client have been written. */
  private isFirst = false;
  private turnKeys: number;
  private isPaused = false;
  private isAbandoned = false;
  private hasEnded = false;

  /** `keys` are those of `request`. */
  constructor(request: Request, keys: KeyList, client: StreamClient) {
    this.request = request;
    this.keys = keys;
    this.client = client;
    this.states = new Uint8Array(keys.count);
    this.turnKeys = client.readAhead.firstKeys;
  }

  /** No key was asked for that is not answered yet. */
  get isIdle(): boolean {
    return this.firstKeys.size === 0;
  }

  /** True if there is something to write or to ask for, and room for it. */
  get wantsTurn(): boolean {
    const isDueHeld = this.isFirst && this.states[this.due] === State.answered;
    return isDueHeld ? this.client.unsentBytes < READ_AHEAD_BYTES : this.mayAsk;
  }

  /** Writes what is held and due, then asks for as many keys as there is room for. Returns the number of keys asked for. */
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

  /** To be called once, when all earlier answers to the client have been written. */
  begin(): void {
    this.isFirst = true;
    this.writeHeld();
  }

  /** Asks for no more keys until `goOn`. */
  pause(): void {
    this.isPaused = true;
  }

  goOn(): void {
    this.isPaused = false;
    this.client.wake();
  }

  /** The client is gone: asks for no more keys, and completes the request when none is in flight. */
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
    // The key that is due is asked for in any case: all others wait for it.
    if (this.isFirst && this.isIdle) return true;
    return unsentBytes + this.heldBytes + readAhead.expect(this.keysInFlight + 1) <= READ_AHEAD_BYTES;
  }

  /** Asks for the key at `first`, or for the group that it begins. Returns the number of keys. */
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

  /** Writes, holds or drops what was found. */
  private take(first: number, group: KeyList | null, reply: Reply): void {
    const { client, keys, states } = this;
    const count = group === null ? 1 : group.count;
    const bytes = group === null ? reply.end - reply.start - END_BYTES : blockBytes(group);
    client.readAhead.note(bytes, count);
    this.hasFound = true;
    const isDue = first === this.due;
    if (isDue && this.isFirst && client.unsentBytes < READ_AHEAD_BYTES) {
      if (group === null) client.writeValue(reply);
      else client.writeGathered(group);
    } else if (isDue || this.heldBytes + bytes <= MAX_HELD_BYTES) {
      this.held.set(first, group === null ? valueBlock(reply) : joinBlocks(group, false));
      this.heldBytes += bytes;
    } else {
      states.fill(State.unasked, first, first + count);
      this.next = Math.min(this.next, first);
      return;
    }
    for (let i = 0; i < count; i++) if (group === null || group.blocks[i] !== null) keys.blocks[first + i] = FOUND;
  }

  /** Writes what is held of the keys that are due, up to the first that was not answered. */
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

/** Bytes of the values that were gathered. */
function blockBytes({ blocks, blockStarts, blockEnds }: KeyList): number {
  let bytes = 0;
  for (let i = 0; i < blocks.length; i++) if (blocks[i] !== null) bytes += blockEnds[i]! - blockStarts[i]!;
  return bytes;
}

/** The VALUE block of the answer to a get of one key, to be kept. */
function valueBlock({ chunk, start, end, isKept }: Reply): Buffer {
  const block = chunk.subarray(start, end - END_BYTES);
  return isKept ? block : Buffer.from(block);
}
