/**
 * Sends to all children and answers with the reply of the first child.
 *
 * Source: mcrouter AllInitialRoute.h, as facts.
 */
import type { Request } from "../../proxy/request.ts";
import { noOwner } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { sendToAll } from "../../proxy/route/send-to-all.ts";
import { type ParentConfig, parentReader } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const allInitial: RouteKind<ParentConfig<"all-initial">> = {
  type: "all-initial",
  handles: { AllInitialRoute: parentReader("all-initial") },
  build: ({ children }, { buildAll }) => new AllInitialRoute(buildAll(children)),
};

export class AllInitialRoute implements Route {
  readonly name = "all-initial";
  private readonly first: Route;
  private readonly others: readonly Route[];

  /** At least two children. */
  constructor([first, ...others]: readonly Route[]) {
    this.first = first!;
    this.others = others;
  }

  route(request: Request): void {
    sendToAll(request, this.others, noOwner);
    this.first.route(request);
  }

  passKey(request: Request): Route {
    sendToAll(request, this.others, noOwner);
    return this.first;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.first, request);
    for (const child of this.others) see(child, request);
  }
}
