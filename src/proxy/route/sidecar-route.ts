/**
 * For a Platypus that another proxy asks after a miss (`[server] mode = "sidecar"`): the caller has just read the pool,
 * so a get goes directly to the fills. Only a key that this process keeps in the pool itself is read from the pool
 * first: the caller's miss is older than later stores.
 */
import { missReply } from "../reply.ts";
import { isRetrieval, type KeyList, Operation, type Request } from "../request.ts";
import { metaMiss } from "../wire/meta-line.ts";
import { type FillRoute, isNotFilled } from "./fill-route.ts";
import type { Root, SeeTarget } from "./route.ts";

/** The interface to the filler. */
export interface StoredKeys {
  /** True if `key` (one character per byte) is tracked, or was filled recently. */
  isStored(key: string): boolean;
}

/** Stands above the fills. */
export class SidecarRoute implements Root {
  readonly name = "sidecar";
  private readonly fills: FillRoute;
  private readonly keys: StoredKeys;

  constructor(fills: FillRoute, keys: StoredKeys) {
    this.fills = fills;
    this.keys = keys;
  }

  route(request: Request): void {
    const { operation, keys } = request;
    // A client that fills itself, or asks for no value, means the pool.
    const isGet = isRetrieval(operation) || (operation === Operation.metaGet && !isNotFilled(request));
    if (!isGet || (keys === null ? this.keys.isStored(request.keyText()) : this.isAnyStored(keys))) {
      this.fills.route(request);
    } else {
      request.retain();
      // As if the pool had missed.
      this.fills.onReply(request, operation === Operation.metaGet ? metaMiss(request) : missReply);
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.fills, request);
  }

  broadcast(request: Request): void {
    this.fills.broadcast(request);
  }

  private isAnyStored({ bytes, starts, ends }: KeyList): boolean {
    return starts.some((start, i) => this.keys.isStored(bytes.toString("latin1", start, ends[i])));
  }
}
