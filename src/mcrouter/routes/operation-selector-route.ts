/**
 * Chooses by what a request does. Meta and binary requests count as the classic command that does the same.
 *
 * Source: mcrouter OperationSelectorRoute.h, as facts. What no policy is for is answered there with an empty reply, which
 * clients see as the error that is given here.
 */
import { Operation, type Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import { classicOperation, operationNameOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";

/** mcrouter's OperationSelectorRoute. */
export class OperationSelectorRoute implements Route {
  readonly name = "operation-selector";
  /** By the classic operation. */
  private readonly policies: ReadonlyMap<Operation, Route>;
  private readonly otherwise: Route | null;

  constructor(policies: ReadonlyMap<Operation, Route>, otherwise: Route | null) {
    this.policies = policies;
    this.otherwise = otherwise;
  }

  route(request: Request): void {
    const child = this.childOf(request);
    if (child !== null) child.route(request);
    else {
      const name = operationNameOf(request) ?? "command";
      request.complete(errorReply("unknown", `unexpected result mc_res_unknown (0) for ${name}`));
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    const child = this.childOf(request);
    if (child !== null) see(child, request);
  }

  private childOf(request: Request): Route | null {
    // A plain get is by far the most common.
    const operation = request.operation === Operation.get ? Operation.get : classicOperation(request);
    return this.policies.get(operation) ?? this.otherwise;
  }
}
