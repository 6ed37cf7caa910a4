/** Stands for a pool whose servers are not known yet: each request fails, as with servers that cannot be reached. */
import type { Request } from "../request.ts";
import { errorReply } from "./default-reply.ts";
import type { Root } from "./route.ts";

const noServers = errorReply("local_error", "the servers of the pool are not known yet");

export class NoServersRoute implements Root {
  readonly name = "no-servers";

  route(request: Request): void {
    request.complete(noServers);
  }

  broadcast(request: Request): void {
    request.complete(noServers);
  }

  forEachTarget(): void {}
}
