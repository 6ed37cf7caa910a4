import { describe, expect, it } from "vitest";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, base64, binaryGet, told } from "../../support/fakes/ask.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";
import { buildTree } from "../../support/rigs/built-tree.ts";

const pool = (name: string, settings: object = {}) => ({ name, servers: [`${name}:1`], ...settings });
const poolRoute = (name: string, settings: object = {}) => ({
  type: "PoolRoute",
  pool: pool(name, settings),
  asynclog: false,
});
const silent = (name: string) => new LeafRoute(name);

/** Regions a and b with clusters of their own; /a/one/ is the default. */
const regions = {
  routes: [
    { aliases: ["/a/one/"], route: poolRoute("a1") },
    { aliases: ["/a/two/"], route: poolRoute("a2") },
    { aliases: ["/b/one/", "/b/fallback/"], route: poolRoute("b1") },
    { aliases: ["/b/same/"], route: { type: "AllSyncRoute", children: [poolRoute("a2")] } },
  ],
};
const options = { default_route: "/a/one/" };

async function sentFor(key: string, more: Record<string, string> = {}) {
  const { root, sent } = await buildTree(regions, silent, { ...options, ...more });
  const asked = ask(root, `get ${key}\r\n`);
  return { sent: sent(), answer: told(asked) };
}

describe("RootRoute's routing prefixes", () => {
  it("choose the route, and are removed from the key", async () => {
    expect((await sentFor("k")).sent).toEqual({ "a1:1": ["get k\r\n"] });
    expect((await sentFor("/a/two/k")).sent).toEqual({ "a2:1": ["get k\r\n"] });
    expect((await sentFor("/b/one/k")).sent).toEqual({ "b1:1": ["get k\r\n"] });
    expect((await sentFor("/only/two")).sent).toEqual({ "a1:1": ["get /only/two\r\n"] });
  });

  it("select a region's fallback if there is no such cluster", async () => {
    expect((await sentFor("/b/none/k")).sent).toEqual({ "b1:1": ["get k\r\n"] });
  });

  it("are an error if they match nothing, or select the default route if configured", async () => {
    const { root, sent } = await buildTree(regions, silent, options);
    expect(told(ask(root, "set /a/none/k 0 0 1\r\nx\r\n"))).toBe("SERVER_ERROR RootRoute: No rh found\r\n");
    expect(sent()).toEqual({});
    expect((await sentFor("/a/none/k", { send_invalid_route_to_default: "1" })).sent).toEqual({
      "a1:1": ["get k\r\n"],
    });
  });

  it("are an error without a key after them", async () => {
    const { root } = await buildTree(regions, silent, options);
    expect(told(ask(root, "delete /a/one/\r\n"))).toBe("SERVER_ERROR invalid key: missing\r\n");
  });

  it.each([
    ["/a/*/k", ["a1:1", "a2:1"]],
    ["/b/*/k", ["b1:1", "a2:1"]],
    ["/*/*/k", ["a1:1", "a2:1", "b1:1"]],
    ["/*/one/k", ["a1:1", "b1:1"]],
    ["/b/s*e/k", ["a2:1"]],
    ["/*/t*/k", ["a2:1"]],
  ])("select all matching routes, each place once, if they contain a star: %s", async (key, servers) => {
    expect(Object.keys((await sentFor(key)).sent).sort()).toEqual([...servers].sort());
  });

  it("with a star are answered by the default route, or else by the first, without waiting for the others", async () => {
    const { root, leaves } = await buildTree(regions, silent, options);
    const asked = ask(root, "set /*/*/k 0 0 1\r\nx\r\n");
    leaves.get("a2:1")!.answer(0, failures.timeout);
    expect(told(asked)).toBeNull();
    leaves.get("a1:1")!.answer(0, "STORED\r\n");
    expect(told(asked)).toBe("STORED\r\n");
    leaves.get("b1:1")!.answer(0, "NOT_STORED\r\n");
  });

  it("are returned to the client, in every protocol", async () => {
    const { root, leaves } = await buildTree(regions, silent, options);
    const leaf = leaves.get("a2:1")!;
    const asked = [
      ask(root, "get /a/two/k\r\n"),
      ask(root, "mg /a/two/k k v\r\n"),
      ask(root, `mg ${base64("/a/two/k k")} b k v\r\n`),
      ask(root, binaryGet("/a/two/k")),
    ];
    expect(leaf.sent).toEqual(["get k\r\n", "mg k k v\r\n", `mg ${base64("k k")} b k v\r\n`, "gets k\r\n"]);
    leaf.answer(0, valueText("k", "x"), true);
    leaf.answer(1, "VA 1 kk\r\nx\r\n");
    leaf.answer(2, `VA 1 k${base64("k k")} b\r\nx\r\n`);
    leaf.answer(3, "VALUE k 0 1 9\r\nx\r\nEND\r\n");
    expect(asked.slice(0, 3).map(told)).toEqual([
      valueText("/a/two/k", "x"),
      "VA 1 k/a/two/k\r\nx\r\n",
      `VA 1 k${base64("/a/two/k k")} b\r\nx\r\n`,
    ]);
    expect(told(asked[3]!)!.endsWith("x")).toBe(true);
  });

  it("are restored in keys for servers that keep them, and do not affect placement", async () => {
    const servers = ["a:1", "b:1", "c:1", "d:1"];
    const settings = { servers, keep_routing_prefix: true };
    const kept = { routes: { "/a/one/": poolRoute("A", settings), "/a/two/": poolRoute("B", { servers }) } };
    const tree = await buildTree(kept, silent, options);
    for (let i = 0; i < 20; i++) {
      ask(tree.root, `get /a/one/k${i}\r\n`);
      ask(tree.root, `get /a/two/k${i}\r\n`);
    }
    ask(tree.root, "get plain\r\n");
    for (const sent of Object.values(tree.sent())) {
      const own = sent.filter((line) => line.includes("/a/one/")).map((line) => line.replace("/a/one/", ""));
      const plain = sent.filter((line) => !line.includes("/a/one/") && line !== "get plain\r\n");
      expect(own).toEqual(plain);
    }
    expect(Object.values(tree.sent()).flat()).toContain("get plain\r\n");
  });

  it("choose among prefix selectors by the routes of those, and omit selectors without a match", async () => {
    const selector = (policies: object, wildcard?: object) => ({
      type: "PrefixSelectorRoute",
      policies,
      ...(wildcard && { wildcard }),
    });
    const tree = await buildTree(
      {
        named_handles: [{ ...poolRoute("shared"), name: "shared" }],
        routes: {
          "/a/one/": selector({ "x:": "shared" }),
          "/a/two/": selector({ "x:": "shared", "y:": poolRoute("y") }, poolRoute("rest")),
        },
      },
      silent,
      options,
    );
    for (const key of ["x:1", "y:1", "z"]) ask(tree.root, `get /a/*/${key}\r\n`);
    expect(tree.sent()).toEqual({ "shared:1": ["get x:1\r\n"], "y:1": ["get y:1\r\n"], "rest:1": ["get z\r\n"] });
    expect(told(ask(tree.root, "delete z\r\n"))).toBe("SERVER_ERROR RootRoute: No rh found\r\n");
  });
});

describe("RootRoute's gets of many keys", () => {
  it("are sent together if all keys are in one pool, although its failed deletes are logged", async () => {
    const tree = await buildTree({ pools: { A: { servers: ["a:1"] } }, route: "PoolRoute|A" }, silent);
    const asked = ask(tree.root, "get k1 k2 k3\r\n");
    expect(tree.sent()).toEqual({ "a:1": ["get k1 k2 k3\r\n"] });
    tree.leaves.get("a:1")!.answer(0, "VALUE k2 0 1\r\nx\r\nEND\r\n");
    expect(told(asked)).toBe("VALUE k2 0 1\r\nx\r\nEND\r\n");
  });

  it("are sent separately over prefixes, and answered in the order of their keys with the client's names", async () => {
    const { root, leaves, sent } = await buildTree(regions, silent, options);
    const asked = ask(root, "gets /b/one/k k /a/two/k /none/x/k\r\n");
    expect(sent()).toEqual({ "a1:1": ["gets k\r\n"], "a2:1": ["gets k\r\n"], "b1:1": ["gets k\r\n"] });
    leaves.get("a2:1")!.answer(0, "VALUE k 0 2 7\r\na2\r\nEND\r\n");
    leaves.get("a1:1")!.answer(0, failures.timeout);
    leaves.get("b1:1")!.answer(0, "VALUE k 0 2 8\r\nb1\r\nEND\r\n", true);
    expect(told(asked)).toBe("VALUE /b/one/k 0 2 8\r\nb1\r\nVALUE /a/two/k 0 2 7\r\na2\r\nEND\r\n");
  });
});

describe("RootRoute's __mcrouter__ keys", () => {
  it("are answered by the router, also among other keys, but only for gets", async () => {
    const { root, leaves, sent } = await buildTree(regions, silent, options);
    expect(told(ask(root, "get __mcrouter__.route(get,a,b)\r\n"))).toBe(
      "VALUE __mcrouter__.route(get,a,b) 0 25\r\nanswer to route(get,a,b)\r\nEND\r\n".replace(" 25", " 24"),
    );
    const both = ask(root, "get k __mcrouter__.version\r\n");
    leaves.get("a1:1")!.answer(0, valueText("k", "x"));
    expect(told(both)).toBe("VALUE k 0 1\r\nx\r\nVALUE __mcrouter__.version 0 17\r\nanswer to version\r\nEND\r\n");
    ask(root, "delete __mcrouter__.version\r\n");
    expect(sent()["a1:1"]).toEqual(["get k\r\n", "delete __mcrouter__.version\r\n"]);
  });
});

describe("RootRoute's reply to a failure", () => {
  const one = { route: poolRoute("a") };
  async function answers(
    frame: string,
    failure: Parameters<LeafRoute["answer"]>[1],
    given: Record<string, string> = {},
  ) {
    const { root, leaves } = await buildTree(one, silent, given);
    const asked = ask(root, frame);
    leaves.get("a:1")!.answer(0, failure);
    return told(asked);
  }

  it("is a miss for a get, or the error if configured", async () => {
    const shown = { miss_on_get_errors: "0" };
    expect(await answers("get k\r\n", failures.timeout)).toBe("END\r\n");
    expect(await answers("get k\r\n", failures.timeout, shown)).toBe("SERVER_ERROR Reply timeout\r\n");
    expect(await answers("get k\r\n", "END\r\n", shown)).toBe("END\r\n");
  });

  it("is NOT_FOUND for incr and decr, or the error if configured", async () => {
    const shown = { miss_on_arith_errors: "0" };
    expect(await answers("incr k 1\r\n", failures.timeout)).toBe("NOT_FOUND\r\n");
    expect(await answers("ma k O7\r\n", failures.tko)).toBe("NF O7\r\n");
    expect(await answers("incr k 1\r\n", failures.timeout, shown)).toBe("SERVER_ERROR timeout\r\n");
    expect(await answers("incr k 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")).toBe(
      "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
    );
  });

  it("is the error for all other commands, or one error for all if configured", async () => {
    expect(await answers("delete k\r\n", failures.connectError)).toBe("SERVER_ERROR connection error\r\n");
    const grouped = { group_remote_errors: "1" };
    expect(await answers("delete k\r\n", failures.connectError, grouped)).toBe("SERVER_ERROR remote error\r\n");
  });

  it("is absent for writes if only gets are allowed", async () => {
    const { root, leaves, sent } = await buildTree(one, silent, { allow_only_gets: "1" });
    const asked = ["set k 0 0 1\r\nx\r\n", "incr k 1\r\n", "ms k 1\r\nx\r\n"].map((frame) => told(ask(root, frame)));
    expect(asked).toEqual(["NOT_STORED\r\n", "NOT_FOUND\r\n", "NS\r\n"]);
    ask(root, "gat 1 k\r\n");
    expect(sent()).toEqual({ "a:1": ["gat 1 k\r\n"] });
    expect(leaves.size).toBe(1);
  });
});

describe("RootRoute's flush_all", () => {
  const flush = (root: { broadcast(request: Asked["request"]): void }) =>
    new Asked("flush_all\r\n").by((request) => root.broadcast(request));

  it("is sent to every server of every pool, and answered with the worst reply", async () => {
    const { root, leaves, sent } = await buildTree(regions, silent, options);
    const asked = flush(root);
    expect(sent()).toEqual({ "a1:1": ["flush_all\r\n"], "a2:1": ["flush_all\r\n"], "b1:1": ["flush_all\r\n"] });
    leaves.get("a2:1")!.answer(0, "OK\r\n");
    leaves.get("a1:1")!.answer(0, failures.timeout);
    leaves.get("b1:1")!.answer(0, "OK\r\n");
    expect(told(asked)).toBe("SERVER_ERROR timeout\r\n");
  });

  it("succeeds if there is no server", async () => {
    const { root } = await buildTree({ route: "NullRoute" }, silent);
    expect(told(flush(root))).toBe("OK\r\n");
  });
});
