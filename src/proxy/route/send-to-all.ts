/** Sends one request to several routes. */
import type { ReplyOwner, Request } from "../request.ts";
import type { Route } from "./route.ts";

/** Sends copies of `request` to all children, in order; `owner` gets the replies. `request` itself is not completed. */
export function sendToAll(request: Request, children: readonly Route[], owner: ReplyOwner): void {
  request.retain();
  // Make all copies first: completing one may end the request and its owner.
  const copies = children.map(() => request.again(owner));
  for (const [i, child] of children.entries()) child.route(copies[i]!);
}
