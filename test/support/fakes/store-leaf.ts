/**
 * A memcached as the leaf of a tree: commands as they would be sent, carried out by the embedded store, and their answers
 * parsed as a connection would, at once or when the test wants them.
 */
import type { Reply } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import { EmbeddedRoute } from "../../../src/proxy/store/embedded-route.ts";
import { ItemStore } from "../../../src/proxy/store/item-store.ts";
import { Asked } from "./asked.ts";
import { LeafRoute } from "./leaf-route.ts";

const GUARD = "mn\r\n";
const GUARD_ANSWER = "MN\r\n";

export class StoreLeaf extends LeafRoute {
  /** What everything is answered with instead of being carried out. */
  failure: Reply | null = null;
  /** Commands are carried out when they come, and answered by `answerNext`. */
  isLate = false;
  readonly store: EmbeddedRoute;
  /** The answers that are due, in order. */
  private readonly due: { readonly index: number; readonly answer: string | Reply }[] = [];

  constructor(name = "store", unixSeconds: () => number = () => 1_700_000_000) {
    super(name);
    this.store = new EmbeddedRoute(new ItemStore(1 << 26, 1 << 22, unixSeconds));
  }

  /** Answers that are due. */
  get dueCount(): number {
    return this.due.length;
  }

  override route(request: Request): void {
    super.route(request);
    const index = this.requests.length - 1;
    const answer = this.failure ?? this.carryOut(this.sent[index]!);
    if (this.isLate) this.due.push({ index, answer });
    else this.answer(index, answer);
  }

  /** Answers the first that is due, as a server does; `isLarge` as for `answer`. */
  answerNext(isLarge: boolean): void {
    const { index, answer } = this.due.shift()!;
    this.answer(index, answer, isLarge);
  }

  private carryOut(sent: string): string {
    const isGuarded = sent.endsWith(`\r\n${GUARD}`);
    const command = isGuarded ? sent.slice(0, -GUARD.length) : sent;
    const asked = new Asked(command);
    const isFlush = command.startsWith("flush_all");
    asked.by((request) => (isFlush ? this.store.broadcast(request) : this.store.route(request)));
    return asked.answers[0]!.text + (isGuarded ? GUARD_ANSWER : "");
  }
}
