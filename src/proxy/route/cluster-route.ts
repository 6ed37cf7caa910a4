/** Answers a get of the key under which old engines of ElastiCache have their list of servers. */
import { CLUSTER_KEY } from "../client/cluster-answer.ts";
import { valueReply } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import type { Root, SeeTarget } from "./route.ts";

const key = Buffer.from(CLUSTER_KEY, "latin1");

export class ClusterRoute implements Root {
  readonly name = "cluster";
  private readonly target: Root;
  private readonly list: () => string;

  constructor(target: Root, list: () => string) {
    this.target = target;
    this.list = list;
  }

  route(request: Request): void {
    const { operation, chunk, keyStart, keyEnd, keys } = request;
    const mayBe = operation === Operation.get && keys === null && keyEnd - keyStart === key.length;
    if (mayBe && key.compare(chunk, keyStart, keyEnd) === 0) {
      request.complete(valueReply(CLUSTER_KEY, Buffer.from(this.list(), "latin1"), 0));
    } else {
      this.target.route(request);
    }
  }

  broadcast(request: Request): void {
    this.target.broadcast(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    this.target.forEachTarget(request, see);
  }
}
