import { beforeEach, describe, expect, it } from "vitest";
import { failures, fixedReply, type Reply, Status } from "../../../src/proxy/reply.ts";
import { KeyList, Operation, Request } from "../../../src/proxy/request.ts";
import { FillRoute } from "../../../src/proxy/route/fill-route.ts";
import { routeKeys } from "../../../src/proxy/route/multi-get.ts";
import { writeReply } from "../../../src/proxy/wire/classic-writer.ts";
import { OutputBatch } from "../../../src/proxy/wire/output-batch.ts";
import { FaultyRoute } from "../../support/fakes/faulty-route.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { ManualFiller } from "../../support/fakes/manual-filler.ts";

const NOW_SECONDS = 1_700_000_000;
const operations = { get: 1, gets: 2, gat: 3, gats: 4 } as const;

let filler: ManualFiller;
let pool: FaultyRoute;
let route: FillRoute;
let clock: ManualClock;

beforeEach(() => {
  filler = new ManualFiller();
  pool = new FaultyRoute(() => NOW_SECONDS);
  clock = new ManualClock();
  route = new FillRoute(pool, filler, clock);
});

/** A command on its way: `answers` holds what its client was told so far, once if all is well. */
interface Sent {
  readonly answers: string[];
}

/** Sends `get a b`, `gat 100 a`, `delete a` and such, and overwrites the bytes it was read into afterwards. */
function send(line: string, data = ""): Sent {
  const [verb, ...words] = line.split(" ");
  const operation = verb === "mg" ? Operation.metaGet : Operation[verb as keyof typeof Operation];
  const chunk = Buffer.from(`${line}\r\n${data === "" ? "" : `${data}\r\n`}`, "latin1");
  const answers: string[] = [];
  const owner = {
    onReply: (of: Request, reply: Reply) => {
      const batch = new OutputBatch();
      writeReply(of, reply, batch);
      answers.push(batch.take().toString("latin1"));
    },
  };
  const request = new Request(operation, owner, chunk);
  const isTouch = verb === "gat" || verb === "gats";
  if (isTouch) request.exptime = Number(words[0]);
  const keys = verb! in operations ? words.slice(isTouch ? 1 : 0) : words.slice(0, 1);
  request.lineEnd = line.length;
  request.dataStart = line.length + 2;
  request.frameEnd = chunk.length;
  request.hasData = data !== "";
  const starts = keys.map((key, i) => line.indexOf(` ${key}`, i === 0 ? 0 : line.indexOf(` ${keys[i - 1]}`) + 1) + 1);
  const ends = starts.map((start, i) => start + keys[i]!.length);
  if (keys.length > 1) {
    request.keys = new KeyList(Buffer.from(chunk), starts, ends);
  } else if (keys.length === 1) {
    request.keyStart = starts[0]!;
    request.keyEnd = ends[0]!;
  }
  if (operation === Operation.flushAll) route.broadcast(request);
  else route.route(request);
  chunk.fill(0xff);
  return { answers };
}

describe("a server that hangs on the second request of a get", () => {
  it.each([
    ["gets k", "VALUE k 0 3 0\r\nnew\r\nEND\r\n"],
    ["gat 100 k", "VALUE k 0 3\r\nnew\r\nEND\r\n"],
    ["mg k v f", "VA 3 f0\r\nnew\r\n"],
    ["mg k v c", "VA 3 c0\r\nnew\r\n"],
    ["gets k other", "VALUE k 0 3 0\r\nnew\r\nEND\r\n"],
  ])("does not delay a client past the client's remaining time: %s", (line, answer) => {
    const sent = send(line);
    const hung = pool.hang();
    filler.leftMs = 80;
    filler.end("k", "new");
    filler.end("other", null);
    clock.advance(79);
    expect(sent.answers).toEqual([]);
    clock.advance(1);
    expect(sent.answers).toEqual([answer]);
    // A later reply belongs to no request.
    hung[0]!.complete(failures.timeout);
    clock.advance(10_000);
    expect(sent.answers).toEqual([answer]);
  });

  it("does not delay a client past the client's remaining time after a concurrent write either", () => {
    const sent = send("get k");
    const hung = pool.hang();
    filler.leftMs = 80;
    filler.sendToPool("k");
    clock.advance(80);
    expect(sent.answers).toEqual(["END\r\n"]);
    hung[0]!.complete(failures.timeout);
    expect(sent.answers).toEqual(["END\r\n"]);
  });

  it("leaves no timer behind when it answers", () => {
    const sent = send("gets k");
    pool.set("k", "new");
    filler.end("k", "new");
    expect(sent.answers).toEqual([expect.stringMatching(/^VALUE k 0 3 \d+\r\nnew\r\nEND\r\n$/)]);
    expect(clock.timerCount).toBe(0);
  });
});

describe("a FillRoute's get of one key", () => {
  it("is recorded and passed on when it hits", () => {
    pool.set("k", "v", 7);
    expect(send("get k").answers).toEqual(["VALUE k 7 1\r\nv\r\nEND\r\n"]);
    expect(filler.told).toEqual(["get k"]);
  });

  it("is recorded and answered with the fetched value when it misses", () => {
    const { answers } = send("get k");
    expect(filler.told).toEqual(["get k", "fill k"]);
    expect(answers).toEqual([]);
    filler.end("k", "fetched");
    expect(answers).toEqual(["VALUE k 0 7\r\nfetched\r\nEND\r\n"]);
  });

  it("is a miss when it misses and no rule covers the key", () => {
    filler.notCovered.add("k");
    expect(send("get k").answers).toEqual(["END\r\n"]);
  });

  it("is a miss when its fill ends without a value", () => {
    const { answers } = send("get k");
    filler.end("k", null);
    expect(answers).toEqual(["END\r\n"]);
  });

  it.each([failures.timeout, failures.tko, failures.connectionLost, fixedReply(Status.serverError, "SERVER_ERROR x")])(
    "is filled if the pool cannot answer it (%#)",
    (failure) => {
      pool.failure = failure;
      const { answers } = send("get k");
      filler.end("k", "fetched");
      expect(answers).toEqual(["VALUE k 0 7\r\nfetched\r\nEND\r\n"]);
      expect(filler.failed).toEqual(["k"]);
    },
  );

  it("distinguishes a miss that the pool reported from a get that the pool could not answer", () => {
    send("get k");
    send("mg k v");
    expect(filler.failed).toEqual([]);
  });

  it("is not filled if it is malformed", () => {
    pool.failure = fixedReply(Status.clientError, "CLIENT_ERROR bad");
    expect(send("get k").answers).toEqual(["CLIENT_ERROR bad\r\n"]);
    expect(filler.told).toEqual([]);
  });

  it("is sent to the pool again if the pool has a newer value", () => {
    const { answers } = send("get k");
    pool.set("k", "newer", 3);
    filler.sendToPool("k");
    expect(answers).toEqual(["VALUE k 3 5\r\nnewer\r\nEND\r\n"]);
  });

  it("is a miss if the newer value, or the pool, is gone again", () => {
    const [gone, failed] = [send("get a"), send("get b")];
    filler.sendToPool("a");
    pool.failure = failures.timeout;
    filler.sendToPool("b");
    expect([gone.answers, failed.answers]).toEqual([["END\r\n"], ["END\r\n"]]);
  });
});

describe("a FillRoute's get that requests more than the value", () => {
  it.each(["gets k", "gats 100 k"])("(%s) is answered from the pool after the fill, with its cas", (line) => {
    const { answers } = send(line);
    pool.set("k", "stored", 9);
    filler.end("k", "fetched");
    const cas = pool.store.get("k")!.cas;
    expect(answers).toEqual([`VALUE k 9 6 ${cas}\r\nstored\r\nEND\r\n`]);
  });

  it.each(["gat 100 k", "gats 100 k"])("(%s) gives the item the client's exptime", (line) => {
    send(line);
    pool.set("k", "stored", 0, 5);
    filler.end("k", "fetched");
    expect(pool.store.get("k")!.expiresAt).toBe(NOW_SECONDS + 100);
  });

  it("has the fetched value, with a cas that no item has, if the pool cannot store it", () => {
    pool.failure = failures.tko;
    const sent = ["gets a", "gats 5 b", "gat 5 c", "mg d s v c"].map((line) => send(line));
    for (const key of ["a", "b", "c", "d"]) filler.end(key, "fetched");
    expect(sent.map(({ answers }) => answers)).toEqual([
      ["VALUE a 0 7 0\r\nfetched\r\nEND\r\n"],
      ["VALUE b 0 7 0\r\nfetched\r\nEND\r\n"],
      ["VALUE c 0 7\r\nfetched\r\nEND\r\n"],
      ["VA 7 s7 c0\r\nfetched\r\n"],
    ]);
  });

  it("does not ask the pool again for a miss", () => {
    const { answers } = send("gets k");
    filler.end("k", null);
    expect(answers).toEqual(["END\r\n"]);
    expect(pool.asked).toEqual([`${Operation.gets} k`]);
  });
});

describe("a FillRoute's get of many keys", () => {
  it("is recorded key by key and passed on when all keys hit", () => {
    for (const key of ["a", "b"]) pool.set(key, key);
    expect(send("get a b").answers).toEqual(["VALUE a 0 1\r\na\r\nVALUE b 0 1\r\nb\r\nEND\r\n"]);
    expect(filler.told).toEqual(["get a", "get b"]);
  });

  it("has its missing keys filled in parallel, and is answered in the order of its keys when all are there", () => {
    pool.set("b", "hit", 5);
    const { answers } = send("get a b c d e");
    expect(filler.told.filter((what) => what.startsWith("fill"))).toEqual(["fill a", "fill c", "fill d", "fill e"]);
    filler.end("e", "E");
    filler.end("c", "C");
    filler.end("d", null);
    expect(answers).toEqual([]);
    filler.end("a", "A");
    expect(answers).toEqual([
      "VALUE a 0 1\r\nA\r\nVALUE b 5 3\r\nhit\r\nVALUE c 0 1\r\nC\r\nVALUE e 0 1\r\nE\r\nEND\r\n",
    ]);
  });

  it("fills a repeated key once for each occurrence", () => {
    const { answers } = send("get a a");
    filler.end("a", "A");
    expect(answers).toEqual(["VALUE a 0 1\r\nA\r\nVALUE a 0 1\r\nA\r\nEND\r\n"]);
  });

  it("is answered once if fills end at once, whatever their results", () => {
    for (const key of ["a", "c"]) filler.atOnce.set(key, null);
    for (const key of ["b", "d"]) filler.atOnce.set(key, key);
    expect(send("get a b c d").answers).toEqual(["VALUE b 0 1\r\nb\r\nVALUE d 0 1\r\nd\r\nEND\r\n"]);
  });

  it("is answered once if some fills end at once and others later", () => {
    filler.atOnce.set("a", "A");
    filler.atOnce.set("c", null);
    filler.notCovered.add("d");
    const { answers } = send("get a b c d");
    expect(answers).toEqual([]);
    filler.end("b", "B");
    expect(answers).toEqual(["VALUE a 0 1\r\nA\r\nVALUE b 0 1\r\nB\r\nEND\r\n"]);
  });

  it("is a miss if no value is available", () => {
    filler.notCovered.add("a");
    filler.atOnce.set("b", null);
    expect(send("get a b").answers).toEqual(["END\r\n"]);
  });

  it("is filled completely if the pool cannot answer it", () => {
    pool.failure = failures.tko;
    const { answers } = send("get a b");
    filler.end("a", "A");
    filler.end("b", "B");
    expect(answers).toEqual(["VALUE a 0 1\r\nA\r\nVALUE b 0 1\r\nB\r\nEND\r\n"]);
    expect(filler.failed).toEqual(["a", "b"]);
  });

  it("has those keys filled that one server could not answer", () => {
    const leaf = new LeafRoute();
    const gather = (request: Request) => routeKeys(request, request.keys!, leaf, true);
    route = new FillRoute(
      { name: "gather", route: gather, forEachTarget: () => {}, broadcast: () => {} },
      filler,
      clock,
    );
    send("get a b");
    leaf.answer(0, "END\r\n");
    leaf.answer(1, failures.tko);
    expect(filler.told).toEqual(["get a", "get b", "fill a", "fill b"]);
    expect(filler.failed).toEqual(["b"]);
  });

  it("has flags, cas and exptime of every key from the pool for gats", () => {
    const { answers } = send("gats 100 a b");
    for (const key of ["a", "b"]) pool.set(key, key, 4, 5);
    filler.end("b", "fetched");
    filler.end("a", "fetched");
    const [a, b] = [pool.store.get("a")!, pool.store.get("b")!];
    expect(answers).toEqual([`VALUE a 4 1 ${a.cas}\r\na\r\nVALUE b 4 1 ${b.cas}\r\nb\r\nEND\r\n`]);
    expect([a.expiresAt, b.expiresAt]).toEqual([NOW_SECONDS + 100, NOW_SECONDS + 100]);
  });
});

describe("a FillRoute's command other than a get", () => {
  it("reports a write before it is sent", () => {
    expect(send("set k 0 0 1", "v").answers).toEqual(["STORED\r\n"]);
    expect(send("delete k").answers).toEqual(["DELETED\r\n"]);
    expect(send("incr k 1").answers).toEqual(["NOT_FOUND\r\n"]);
    expect(filler.told).toEqual(["write k", "write k", "write k"]);
  });

  it("reports a flush before it is sent", () => {
    pool.set("k", "v");
    expect(send("flushAll").answers).toEqual(["OK\r\n"]);
    expect(filler.told).toEqual(["flush"]);
  });

  it("reports no touch", () => {
    expect(send("touch k 5").answers).toEqual(["NOT_FOUND\r\n"]);
    expect(filler.told).toEqual([]);
  });
});
