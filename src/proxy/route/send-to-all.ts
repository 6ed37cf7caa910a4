/** One request to several routes. */
import type { ReplyOwner, Request } from "../request.ts";
import type { Route } from "./route.ts";

/** Sends what `request` asks to each child, in order, every answer going to `owner`. The request itself stays open. */
export function sendToAll(request: Request, children: readonly Route[], owner: ReplyOwner): void {
  request.retain();
  // All copies first: completing one may end the request and whoever holds it.
  const copies = children.map(() => request.again(owner));
  for (const [i, child] of children.entries()) child.route(copies[i]!);
}
