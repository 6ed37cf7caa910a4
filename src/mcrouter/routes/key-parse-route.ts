/**
 * Places keys by their first parts, in routes below that place buckets (`bucketize`): keys with the same beginning are on
 * the same server.
 *
 *     2 parts, delimiter ":"      user:12:name ─► bucket of "user:12:"
 *
 * Source: mcrouter KeyParseRoute.h, as facts.
 */
import type { RouteConfig } from "../../config/config.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import { noOwner, type ReplyOwner, type Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { bytesText } from "../config/fields.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface KeyParseOptions {
  readonly parts: number;
  /** One byte. */
  readonly delimiter: string;
}

interface KeyParseRouteConfig extends RouteConfig, KeyParseOptions {
  readonly type: "key-parse";
  readonly target: RouteConfig;
}

export const keyParse: RouteKind<KeyParseRouteConfig> = {
  type: "key-parse",
  handles: { KeyParseRoute: (input) => [read(input)] },
  build: (node, { build }) => new KeyParseRoute(build(node.target), node),
};

function read(input: RouteInput): KeyParseRouteConfig {
  const { fields, child } = object(input);
  const target = child("target");
  fields.need("num_routing_parts");
  const parts = fields.integer("num_routing_parts", 1, 1, UNBOUNDED)!;
  fields.need("delimiter");
  const delimiter = bytesText(fields.string("delimiter", ":"));
  if (delimiter.length !== 1) fields.complain("delimiter: expected one character");
  return { type: "key-parse", target, parts, delimiter };
}

export class KeyParseRoute implements Route {
  readonly name: string;
  private readonly target: Route;
  private readonly parts: number;
  private readonly delimiter: number;

  constructor(target: Route, { parts, delimiter }: KeyParseOptions) {
    this.name = `key_parse|delimiter=${delimiter}|num_routing_parts=${parts}`;
    this.target = target;
    this.parts = parts;
    this.delimiter = delimiter.charCodeAt(0);
  }

  route(request: Request): void {
    this.target.route(this.parsed(request, { onReply: (_sent, reply) => request.complete(reply) }));
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, this.parsed(request, noOwner));
  }

  /** A copy: the routes above keep the original. */
  private parsed(request: Request, owner: ReplyOwner): Request {
    request.retain();
    const copy = request.again(owner);
    copy.bucketKey = request.chunk.subarray(request.keyStart, this.endOf(request));
    return copy;
  }

  /** End of the first parts of the routing key, each with its delimiter. */
  private endOf({ chunk, keyStart, keyEnd }: Request): number {
    const end = routingKeyEnd(chunk, keyStart, keyEnd);
    let at = keyStart;
    for (let part = 0; part < this.parts; part++) {
      while (at < end && chunk[at] !== this.delimiter) at++;
      if (at === end) return end;
      at++;
    }
    return at;
  }
}
