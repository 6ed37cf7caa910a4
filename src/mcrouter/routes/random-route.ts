/**
 * Sends each request to a random child.
 *
 * Source: mcrouter RandomRoute.h, as facts.
 */
import type { Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { type ParentConfig, parentReader } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const random: RouteKind<ParentConfig<"random">> = {
  type: "random",
  handles: { RandomRoute: parentReader("random") },
  build: ({ children }, { buildAll, random }) => new RandomRoute(buildAll(children), random),
};

export class RandomRoute implements Route {
  readonly name = "random";
  private readonly children: readonly Route[];
  private readonly random: () => number;

  /** `random`: 0 ≤ x < 1. */
  constructor(children: readonly Route[], random: () => number) {
    this.children = children;
    this.random = random;
  }

  route(request: Request): void {
    this.passKey().route(request);
  }

  passKey(): Route {
    return this.children[Math.floor(this.random() * this.children.length)]!;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of this.children) see(child, request);
  }
}
