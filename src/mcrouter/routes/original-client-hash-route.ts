/**
 * Client address → one of the children. Needs `--retain-source-ip`.
 *
 * Source: mcrouter OriginalClientHashRoute.h, as facts.
 */
import type { RouteConfig } from "../../config/config.ts";
import { spooky64 } from "../../proxy/hash/spooky.ts";
import type { Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { nothing, object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface OriginalClientHashRouteConfig extends RouteConfig {
  readonly type: "original-client-hash";
  /** At least two. */
  readonly children: readonly RouteConfig[];
  /** Added to the index. */
  readonly offset: number;
}

export const originalClientHash: RouteKind<OriginalClientHashRouteConfig> = {
  type: "original-client-hash",
  handles: { OriginalClientHashRoute: (input) => [read(input)] },
  build: ({ children, offset }, { buildAll }) => new OriginalClientHashRoute(buildAll(children), offset),
};

function read(input: RouteInput): RouteConfig {
  const { fields, children: childrenOf } = object(input);
  const children = childrenOf("children");
  const offset = fields.integer("offset", 0, 0, Math.max(0, children.length - 1))!;
  if (children.length === 0 && fields.has("children")) fields.complain("children: expected at least one");
  const node: OriginalClientHashRouteConfig = { type: "original-client-hash", children, offset };
  return children.length < 2 ? (children[0] ?? nothing) : node;
}

const missingAddress = errorReply("local_error", "Missing IP");

export class OriginalClientHashRoute implements Route {
  readonly name = "OriginalClientHashRoute";
  readonly passesAlike = true;
  private readonly children: readonly Route[];
  private readonly offset: number;
  /** By address. */
  private readonly known = new Map<string, Route>();

  constructor(children: readonly Route[], offset: number) {
    this.children = children;
    this.offset = offset;
  }

  route(request: Request): void {
    const child = this.passKey(request);
    if (child === null) request.complete(missingAddress);
    else child.route(request);
  }

  passKey({ clientAddress }: Request): Route | null {
    if (clientAddress === null) return null;
    const known = this.known.get(clientAddress);
    if (known !== undefined) return known;
    const bytes = Buffer.from(clientAddress, "latin1");
    const hash = BigInt.asUintN(64, spooky64(bytes, 0, bytes.length, 0) + BigInt(this.offset));
    const child = this.children[Number(hash % BigInt(this.children.length))]!;
    if (this.known.size >= MAX_KNOWN) this.known.clear();
    this.known.set(clientAddress, child);
    return child;
  }

  /** Without an address, as in `explain`, any child may be asked. */
  forEachTarget(request: Request, see: SeeTarget): void {
    const child = this.passKey(request);
    for (const target of child === null ? this.children : [child]) see(target, request);
  }
}

const MAX_KNOWN = 10_000;
