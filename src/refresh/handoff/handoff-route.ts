/**
 * The route to a pool whose servers have changed a short time ago. Keys that have moved to another server are looked up at
 * their former server after a miss, and copied (copier.ts):
 *
 *     get        ─► server ── miss ──► former server ── hit ──► answered, and copied under the key's lease
 *     set, delete ────────► deleted at the former server, then sent to the server
 *     incr, cas, touch … ─► copied if the server does not have the key, then like set
 *
 * A write of a moved key waits for its former server, so later requests for that key wait behind it. Requests for keys that
 * have not moved are only compared with the former placement.
 */
import { isFailure, MetaCode, type Reply, Status } from "../../proxy/reply.ts";
import { isRetrieval, noOwner, Operation, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { routeKeys } from "../../proxy/route/multi-get.ts";
import type { PoolRoute } from "../../proxy/route/pool-route.ts";
import type { Root, Route, SeeTarget } from "../../proxy/route/route.ts";
import { answerWith } from "../../proxy/route/stored-value.ts";
import { hasMetaFlag, metaToken } from "../../proxy/wire/meta-line.ts";
import type { Copier, Former } from "./copier.ts";

/** Maximum number of copies in progress. Beyond it, gets are answered and their keys are not copied. */
const MAX_COPIES = 256;

/** A get that missed. `request` is retained, `reply` is the kept miss. */
interface Missed {
  readonly request: Request;
  readonly reply: Reply;
}

/**
 * Requests that wait for a write of a moved key, in order, by key; each goes on by its own route. The routes to a pool share
 * them over reloads: a key must not be copied while a write of it has not been sent yet, by the route before the reload.
 */
export type HeldKeys = Map<string, (() => void)[]>;

export class HandoffRoute implements Root, ReplyOwner {
  readonly name: string;
  readonly pool: PoolRoute;
  /** Newest first. */
  private readonly former: readonly Former[];
  private readonly copier: Copier;
  private readonly held: HeldKeys;
  /** By key: gets that missed while the key is being looked up. */
  private readonly lookups = new Map<string, Missed[]>();
  private copies = 0;

  constructor(pool: PoolRoute, former: readonly Former[], copier: Copier, held: HeldKeys = new Map()) {
    this.name = pool.name;
    this.held = held;
    this.pool = pool;
    this.former = former;
    this.copier = copier;
  }

  route(request: Request): void {
    const { keys } = request;
    if (keys === null) {
      this.routeOne(request);
      return;
    }
    const { bytes, starts, ends } = keys;
    const hasMoved = this.held.size > 0 || starts.some((start, i) => this.isMoved(bytes, start, ends[i]!));
    if (hasMoved) routeKeys(request, keys, this, false);
    else this.pool.route(request);
  }

  /** Keys that have not moved share commands. */
  passKey(request: Request): Route | null {
    const { chunk, keyStart, keyEnd } = request;
    const isHeld = this.held.size > 0 && this.held.has(request.keyText());
    return isHeld || this.isMoved(chunk, keyStart, keyEnd) ? null : this.pool;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    this.pool.forEachTarget(request, see);
  }

  /** A flush ends the handoff, and empties the former servers too: other processes may still read them. */
  broadcast(request: Request): void {
    request.retain();
    this.flushFormer(request);
    this.pool.broadcast(request);
  }

  /** Called before a retained flush of all pools. Writes that are held were sent before it, and must not outlive it. */
  flushFormer(request: Request): void {
    for (const key of this.held.keys()) this.removeBehindHeld(key);
    for (const { servers } of this.former) {
      if (!servers.endsWithFlush) continue;
      servers.isEnded = true;
      servers.route.broadcast(request.again(noOwner));
    }
  }

  /** Deletes the key behind all of its requests that are held now. */
  private removeBehindHeld(key: string): void {
    const waiting = this.held.get(key);
    if (waiting === undefined) this.copier.remove(key);
    else waiting.push(() => this.removeBehindHeld(key));
  }

  /** The reply to a retrieval of a moved key. */
  onReply(request: Request, reply: Reply): void {
    if (!isMiss(reply)) {
      request.complete(reply);
      return;
    }
    request.retain();
    const missed: Missed = { request, reply: reply.copy() };
    const key = request.keyText();
    const waiting = this.lookups.get(key);
    if (waiting !== undefined) {
      waiting.push(missed);
      return;
    }
    this.lookups.set(key, []);
    void this.lookUp(key, missed);
  }

  private routeOne(request: Request): void {
    const { chunk, keyStart, keyEnd, operation } = request;
    const waiting = this.held.size === 0 ? undefined : this.held.get(request.keyText());
    if (waiting !== undefined) {
      request.retain();
      waiting.push(() => this.routeOne(request));
    } else if (!this.isMoved(chunk, keyStart, keyEnd) || operation === Operation.metaDebug) {
      this.pool.route(request);
    } else if (isRead(request)) {
      if (!isRetrieval(operation)) request.retain();
      request.push(this);
      this.pool.route(request);
    } else {
      request.retain();
      void this.write(request.keyText(), request);
    }
  }

  /** True if the key had another server in one of the former lists. */
  private isMoved(chunk: Buffer, start: number, end: number): boolean {
    const { pool, former } = this;
    const { name } = pool.backends[pool.indexAt(chunk, start, end)]!;
    for (const { servers } of former) {
      if (!servers.isEnded && servers.route.backends[servers.route.indexAt(chunk, start, end)]!.name !== name)
        return true;
    }
    return false;
  }

  /** Former servers of the key, each once, newest first. */
  /** Deletes a key on its former servers, before a refresh writes it. Never rejects. */
  async removeFormer(key: string): Promise<void> {
    const former = this.formerOf(key);
    if (former.length > 0) await this.copier.removeFormer(key, former);
  }

  private formerOf(key: string): Former[] {
    const bytes = Buffer.from(key, "latin1");
    const seen = new Set([this.pool.backendOf(bytes).name]);
    return this.former.filter(({ servers }) => {
      const { name } = servers.route.backendOf(bytes);
      if (servers.isEnded || seen.has(name)) return false;
      seen.add(name);
      return true;
    });
  }

  /**
   * Looks a key up at its former servers after `first` has missed, and copies it. What is read there is not older than a
   * write that was acknowledged before: a get that asks for nothing else is answered with it at once. Gets that miss
   * meanwhile, and gets that need the item's cas or TTL, ask the key's server again after the copy.
   */
  private async lookUp(key: string, first: Missed): Promise<void> {
    const former = this.formerOf(key);
    for (let asked: readonly Missed[] = [first]; asked.length > 0; ) {
      const item = await this.copier.read(key, former);
      if (item === null) this.copier.noteAbsent();
      const due = asked.filter(({ request, reply }) => {
        const answer = item === null ? reply : answerWith(request, item);
        if (answer !== null) request.complete(answer);
        return answer === null;
      });
      const isCopied = due.length > 0 || this.copier.shouldCopy(former);
      const isStored = item !== null && isCopied && (await this.copy(key, former));
      const waiting = this.lookups.get(key)!;
      if (isStored || item === null) {
        this.lookups.delete(key);
        for (const { request, reply } of [...due, ...waiting]) {
          if (isStored) this.askAgain(request);
          else request.complete(reply);
        }
        return;
      }
      // The copy was not stored: gets that came meanwhile are answered by another look at the former servers.
      for (const { request, reply } of due) request.complete(reply);
      this.lookups.set(key, []);
      asked = waiting;
    }
    this.lookups.delete(key);
  }

  private async copy(key: string, former: readonly Former[]): Promise<boolean> {
    if (this.copies >= MAX_COPIES) return false;
    this.copies++;
    const result = await this.copier.copyOrAwait(key, former);
    this.copies--;
    return result === "stored";
  }

  private askAgain(request: Request): void {
    this.pool.route(request.again({ onReply: (_again, reply) => request.complete(reply) }));
  }

  /** Sends the retained write of a moved key when its former servers do not have the key any more. */
  private async write(key: string, request: Request): Promise<void> {
    this.held.set(key, []);
    const former = this.formerOf(key);
    if (!isReplacing(request) && !(await this.copier.isStored(key))) await this.copier.copyOrAwait(key, former);
    await this.copier.removeFormer(key, former);
    this.copier.dropLease(key);
    this.pool.route(request);
    const waiting = this.held.get(key)!;
    this.held.delete(key);
    // The next write among them waits again, and what follows it waits behind it.
    for (const next of waiting) next();
  }
}

/** A retrieval or `mg` that changes nothing. */
function isRead(request: Request): boolean {
  if (request.operation === Operation.metaGet) return !hasMetaFlag(request, "TNERI");
  return request.operation === Operation.get || request.operation === Operation.gets;
}

/** A write whose result does not depend on the item that is there: `set`, `delete`, and their meta forms. */
function isReplacing(request: Request): boolean {
  switch (request.operation) {
    case Operation.set:
    case Operation.delete:
      return true;
    case Operation.metaSet:
      return !hasMetaFlag(request, "CI") && /^$|^[sS]/.test(metaToken(request, "M") ?? "");
    case Operation.metaDelete:
      return !hasMetaFlag(request, "CIxT");
    default:
      return false;
  }
}

/** True if the server does not have the item. */
function isMiss(reply: Reply): boolean {
  if (isFailure(reply.status)) return false;
  return reply.status === Status.missing || (reply.status === Status.meta && reply.code === MetaCode.EN);
}
