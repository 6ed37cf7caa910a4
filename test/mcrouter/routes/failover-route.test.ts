import { describe, expect, it } from "vitest";
import type { Result } from "../../../src/config/results.ts";
import { FailoverRoute } from "../../../src/mcrouter/routes/failover-route.ts";
import { failures, fixedReply, Status } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import { routeKeys } from "../../../src/proxy/route/multi-get.ts";
import { newRouteCounters } from "../../../src/proxy/route/route-counters.ts";
import { ask, base64, binaryGet, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

type Options = ConstructorParameters<typeof FailoverRoute>[1];

const plain: Options = {
  name: "",
  errors: { gets: null, updates: null, deletes: null },
  limit: null,
  isTagged: false,
  policy: { type: "in-order" },
  maxTries: Number.MAX_SAFE_INTEGER,
  maxErrorTries: Number.MAX_SAFE_INTEGER,
  uncountedErrors: [],
};
const busy = fixedReply(Status.serverError, "SERVER_ERROR 307 busy");

function setUp(options: Partial<Options> = {}, count = 3) {
  const leaves = Array.from({ length: count }, (_, i) => new LeafRoute(`${i}`));
  const counters = newRouteCounters();
  return { leaves, counters, route: new FailoverRoute(leaves, { ...plain, ...options }, counters) };
}

const counts = ({ leaves }: ReturnType<typeof setUp>) => leaves.map(({ sent }) => sent.length);

describe("FailoverRoute", () => {
  it("asks only the first child while it answers", () => {
    const { leaves, route, counters } = setUp();
    const asked = ask(route, "get k\r\n");
    leaves[0]!.answer(0, "END\r\n");
    expect(told(asked)).toBe("END\r\n");
    expect(leaves.map(({ sent }) => sent)).toEqual([["get k\r\n"], [], []]);
    expect(counters).toMatchObject({ failoverAll: 0, failoverAllFailed: 0 });
  });

  it.each([
    ["get k\r\n", "get k\r\n", valueText("k", "x")],
    ["gets k\r\n", "gets k\r\n", "VALUE k 0 1 5\r\nx\r\nEND\r\n"],
    ["gat 30 k\r\n", "gat 30 k\r\n", valueText("k", "x")],
    ["set k 5 60 3 noreply\r\na\nb\r\n", "set k 5 60 3\r\na\nb\r\n", "STORED\r\n"],
    ["mg k v k q O1\r\n", "mg k v k O1\r\n", "VA 1 kk O1\r\nx\r\n"],
    [`ms ${base64("a b")} 2 b k\r\nxy\r\n`, `ms ${base64("a b")} 2 b k\r\nxy\r\n`, `HD k${base64("a b")} b\r\n`],
    ["ms k 2 Zz\r\nxy\r\n", "ms k 2 Zz\r\nxy\r\n", "HD\r\n"],
    ["incr k 5\r\n", "incr k 5\r\n", "9\r\n"],
    ["touch k 5\r\n", "touch k 5\r\n", "TOUCHED\r\n"],
  ])("sends the same request to the next child: %j", (frame, sent, answer) => {
    const { leaves, route } = setUp();
    const asked = ask(route, frame);
    leaves[0]!.answer(0, failures.timeout);
    leaves[1]!.answer(0, failures.connectionLost);
    leaves[2]!.answer(0, answer);
    for (const leaf of leaves) expect(leaf.sent).toEqual([sent]);
    expect(told(asked)).toBe(answer);
  });

  it("asks the next child if the first refuses at once, and for binary clients", () => {
    for (const frame of ["set k 0 0 1\r\nx\r\n", "mg k v\r\n", "get k\r\n", binaryGet("k")]) {
      const { leaves, route } = setUp();
      leaves[0]!.script = () => failures.tko;
      ask(route, frame);
      expect(leaves[1]!.sent).toEqual(leaves[0]!.sent);
    }
  });

  it("answers with the last reply if all children fail", () => {
    const { leaves, route, counters } = setUp();
    const asked = ask(route, "delete k\r\n");
    leaves[0]!.answer(0, failures.timeout);
    leaves[1]!.answer(0, failures.tko);
    leaves[2]!.answer(0, failures.connectError);
    expect(told(asked)).toBe("SERVER_ERROR connection error\r\n");
    expect(counters).toMatchObject({ failoverAll: 1, failoverAllFailed: 1 });
  });

  it.each([
    ["SERVER_ERROR out of memory\r\n", true],
    ["SERVER_ERROR 301 shutdown\r\n", true],
    ["SERVER_ERROR 302 try again\r\n", true],
    ["CLIENT_ERROR bad data chunk\r\n", false],
    ["ERROR\r\n", false],
    ["NOT_STORED\r\n", false],
    ["EXISTS\r\n", false],
  ])("treats %j of a set as a failure: %s", (answer, isFailover) => {
    const { leaves, route } = setUp();
    const asked = ask(route, "cas k 0 0 1 7\r\nx\r\n");
    leaves[0]!.answer(0, answer);
    expect(leaves[1]!.sent.length).toBe(isFailover ? 1 : 0);
    expect(told(asked)).toBe(isFailover ? null : answer);
  });

  it("uses the configured errors for each kind of command, and the default errors for touch and incr", () => {
    const errors = { gets: ["timeout"], updates: [], deletes: null } satisfies Options["errors"];
    const failsOver = (frame: string, failure: keyof typeof failures) => {
      const { leaves, route } = setUp({ errors });
      ask(route, frame);
      leaves[0]!.answer(0, failures[failure]);
      return leaves[1]!.sent.length === 1;
    };
    expect(failsOver("get k\r\n", "timeout")).toBe(true);
    expect(failsOver("mg k v\r\n", "timeout")).toBe(true);
    expect(failsOver("get k\r\n", "connectError")).toBe(false);
    expect(failsOver("set k 0 0 1\r\nx\r\n", "timeout")).toBe(false);
    expect(failsOver("ms k 1\r\nx\r\n", "timeout")).toBe(false);
    expect(failsOver("delete k\r\n", "connectError")).toBe(true);
    expect(failsOver("incr k 1\r\n", "connectError")).toBe(true);
    expect(failsOver("touch k 1\r\n", "timeout")).toBe(true);
  });

  it("can treat a client error as a failure", () => {
    const errors = { gets: null, updates: ["client_error"] as Result[], deletes: null };
    const { leaves, route } = setUp({ errors });
    ask(route, "set k 0 0 1\r\nx\r\n");
    leaves[0]!.answer(0, "CLIENT_ERROR no\r\n");
    expect(leaves[1]!.sent).toEqual(["set k 0 0 1\r\nx\r\n"]);
  });

  it("lets requests earn the failovers that they may use, and does not count unreachable servers", () => {
    const tree = setUp({ limit: { rate: 0.5, burst: 1 } });
    const { leaves, route, counters } = tree;
    leaves[0]!.script = () => failures.timeout;
    leaves[1]!.script = () => "STORED\r\n";
    const answers = Array.from({ length: 5 }, () => told(ask(route, "set k 0 0 1\r\nx\r\n")));
    // One at first; then half a one with each request.
    expect(answers.map((answer) => answer === "STORED\r\n")).toEqual([true, false, true, false, true]);
    expect(counters.failoverRateLimited).toBe(2);
    for (const failure of [failures.tko, failures.connectError, failures.connectTimeout]) {
      leaves[0]!.script = () => failure;
      expect(told(ask(route, "set k 0 0 1\r\nx\r\n"))).toBe("STORED\r\n");
    }
    expect(counters.failoverRateLimited).toBe(2);
  });

  it("lets each key of a get of many earn failovers", () => {
    const { leaves, route } = setUp({ limit: { rate: 0.5, burst: 1 } });
    leaves[0]!.script = () => failures.timeout;
    leaves[1]!.script = (sent) => valueText(/ (\S+)\r/.exec(sent)![1]!, "x");
    const many = { route: (request: Request) => routeKeys(request, request.keys!, route, true) };
    const answers = ["a b", "c d", "e f"].map((keys) => told(ask(many, `get ${keys}\r\n`)));
    expect(answers).toEqual([valueText("a", "x"), valueText("c", "x"), valueText("e", "x")]);
  });

  it("marks keys with a hash stop on the way to the next child, if there is room", () => {
    const { leaves, route } = setUp({ isTagged: true }, 2);
    const keys = ["k|#|x", "k", `${"a".repeat(237)}|#|x`, `${"a".repeat(240)}|#|x`];
    const asked = keys.map((key) => ask(route, `get ${key}\r\n`));
    for (const [i] of keys.entries()) leaves[0]!.answer(i, failures.timeout);
    const marked = ["k|#|x:failover=1", "k", keys[2]!, keys[3]!];
    expect(leaves[1]!.sent).toEqual(marked.map((key) => `get ${key}\r\n`));
    leaves[1]!.answer(0, valueText("k|#|x:failover=1", "v"));
    leaves[1]!.answer(1, valueText("k", "v"));
    expect([told(asked[0]!), told(asked[1]!)]).toEqual([valueText("k|#|x", "v"), valueText("k", "v")]);
  });

  it("does not mark a base64 key that would become too long in base64", () => {
    const { leaves, route } = setUp({ isTagged: true }, 2);
    const word = base64(`${" ".repeat(180)}|#|x`);
    ask(route, `ms ${word} 1 b\r\nx\r\n`);
    leaves[0]!.answer(0, failures.timeout);
    expect(leaves[1]!.sent).toEqual([`ms ${word} 1 b\r\nx\r\n`]);
  });

  it("answers once if children answer after they have been abandoned", () => {
    const { leaves, route } = setUp();
    const asked = ask(route, "get k\r\n");
    leaves[0]!.answer(0, busy);
    leaves[1]!.answer(0, failures.timeout);
    leaves[2]!.answer(0, valueText("k", "x"), true);
    expect(told(asked)).toBe(valueText("k", "x"));
  });

  it("is named after its name and the number of its children", () => {
    expect(setUp().route.name).toBe("failover");
    expect(setUp({ name: "main" }).route.name).toBe("failover:main:failover_targets=3");
  });
});

describe("LeastFailuresPolicy", () => {
  it("asks the first child first, then those with the fewest recent failures, up to the maximum number of tries", () => {
    const tree = setUp({ policy: { type: "least-failures" }, maxTries: 2 }, 4);
    const { leaves, route } = tree;
    for (const leaf of leaves) leaf.script = () => failures.timeout;
    const askedNow = () => {
      const before = counts(tree);
      ask(route, "get k\r\n");
      return counts(tree).flatMap((count, i) => (count > before[i]! ? [i] : []));
    };
    expect([askedNow(), askedNow(), askedNow(), askedNow()]).toEqual([
      [0, 1],
      [0, 2],
      [0, 3],
      [0, 1],
    ]);
    // An answer forgives everything.
    leaves[2]!.script = () => "END\r\n";
    expect([askedNow(), askedNow(), askedNow()]).toEqual([
      [0, 2],
      [0, 2],
      [0, 2],
    ]);
  });

  it("answers with the reply of the last child that was asked", () => {
    const { leaves, route } = setUp({ policy: { type: "least-failures" }, maxTries: 2 });
    const asked = ask(route, "set k 0 0 1\r\nx\r\n");
    leaves[0]!.answer(0, failures.timeout);
    leaves[1]!.answer(0, failures.connectError);
    expect(told(asked)).toBe("SERVER_ERROR connection error\r\n");
    expect(leaves[2]!.sent).toEqual([]);
  });
});
