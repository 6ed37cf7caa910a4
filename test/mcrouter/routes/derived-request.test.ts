import { describe, expect, it } from "vitest";
import {
  canHaveKey,
  exptimeOf,
  withData,
  withExptimes,
  withKey,
} from "../../../src/mcrouter/routes/derived-request.ts";
import type { Reply } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import { ask, base64, binaryGet, binarySet, told } from "../../support/fakes/ask.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

function renamer(leaf: LeafRoute, key: string) {
  return { route: (request: Request) => leaf.route(withKey(request, Buffer.from(key, "latin1"))) };
}

describe("a command derived for another key", () => {
  it.each([
    ["get k\r\n", "get other\r\n"],
    ["gat 30 k\r\n", "gat 30 other\r\n"],
    ["set k 5 60 3\r\nabc\r\n", "set other 5 60 3\r\nabc\r\n"],
    ["set  k 5  60 3 noreply\r\nabc\r\n", "set other 5 60 3\r\nabc\r\n"],
    ["cas k 5 60 3 77\r\na\nc\r\n", "cas other 5 60 3 77\r\na\nc\r\n"],
    ["delete k\r\n", "delete other\r\n"],
    ["incr k 5 noreply\r\n", "incr other 5\r\n"],
    ["touch k 30\r\n", "touch other 30\r\n"],
    ["mg k v q t\r\n", "mg other v t\r\n"],
    ["ms k 2 T0 q\r\nab\r\n", "ms other 2 T0\r\nab\r\n"],
    ["ms k 2 Zx\r\nab\r\n", "ms other 2 Zx\r\nab\r\n"],
    ["md k q\r\n", "md other\r\n"],
    ["ma k N0 J5\r\n", "ma other N0 J5\r\n"],
    [`mg ${base64("a b")} b v\r\n`, `mg ${base64("other")} b v\r\n`],
    [`ms ${base64("a b")} 2 b\r\nxy\r\n`, `ms ${base64("other")} 2 b\r\nxy\r\n`],
  ])("is derived from %j as %j", (frame, sent) => {
    const leaf = new LeafRoute();
    ask(renamer(leaf, "other"), frame);
    expect(leaf.sent).toEqual([sent]);
    expect(leaf.requests[0]!.keyText()).toBe("other");
  });

  it("is answered with the client's key", () => {
    const leaf = new LeafRoute();
    const asked = ["get k\r\n", "gets k\r\n", "mg k v k f\r\n", "mg k k\r\n", `mg ${base64("a b")} b k v\r\n`].map(
      (frame) => ask(renamer(leaf, "other:1"), frame),
    );
    leaf.answer(0, "VALUE other:1 3 5\r\nhello\r\nEND\r\n");
    leaf.answer(1, "VALUE other:1 3 0 99\r\n\r\nEND\r\n");
    leaf.answer(2, "VA 5 kother:1 f3\r\nhello\r\n");
    leaf.answer(3, "HD kother:1\r\n");
    leaf.answer(4, `VA 1 k${base64("other:1")} b\r\nx\r\n`);
    expect(asked.map(told)).toEqual([
      "VALUE k 3 5\r\nhello\r\nEND\r\n",
      "VALUE k 3 0 99\r\n\r\nEND\r\n",
      "VA 5 kk f3\r\nhello\r\n",
      "HD kk\r\n",
      `VA 1 k${base64("a b")} b\r\nx\r\n`,
    ]);
  });

  it("is answered in the form of the server's key: a text key of a base64 item in base64, and the reverse", () => {
    const leaf = new LeafRoute();
    const text = ask(renamer(leaf, "other"), "mg k k v\r\n");
    const encoded = ask(renamer(leaf, "other"), `mg ${base64("k")} b k v\r\n`);
    leaf.answer(0, `VA 1 k${base64("other")} b\r\nx\r\n`);
    leaf.answer(1, "VA 1 kother\r\nx\r\n");
    expect([told(text), told(encoded)]).toEqual([`VA 1 k${base64("k")} b\r\nx\r\n`, "VA 1 kk\r\nx\r\n"]);
  });

  it("supports binary clients too", () => {
    const leaf = new LeafRoute();
    const get = ask(renamer(leaf, "other"), binaryGet("k"));
    const set = ask(renamer(leaf, "other"), binarySet("k", "x", 9));
    const strange = ask(renamer(leaf, "other"), binaryGet("a b"));
    expect(leaf.sent).toEqual([
      "gets other\r\n",
      "ms other 1 F9 T0 c MS\r\nx\r\n",
      `mg ${base64("other")} v f c b\r\n`,
    ]);
    leaf.answer(0, "VALUE other 9 1 55\r\nx\r\nEND\r\n");
    leaf.answer(1, "HD c56\r\n");
    leaf.answer(2, "VA 1 f9 c57\r\ny\r\n");
    const cas = [get, set, strange].map((asked) => Buffer.from(told(asked)!, "latin1").readBigUInt64BE(16));
    expect(cas).toEqual([55n, 56n, 57n]);
  });

  it("keeps the text of failures", () => {
    const leaf = new LeafRoute();
    const asked = ask(renamer(leaf, "other"), "set k 0 0 1\r\nx\r\n");
    leaf.answer(0, "SERVER_ERROR out of memory storing object\r\n");
    expect(told(asked)).toBe("SERVER_ERROR out of memory storing object\r\n");
  });

  it("must fit in 250 bytes, in base64 as it is sent", () => {
    const text = new Asked("get k\r\n").request;
    const encoded = new Asked(`mg ${base64("a b")} b\r\n`).request;
    expect([canHaveKey(text, 0), canHaveKey(text, 250), canHaveKey(text, 251)]).toEqual([false, true, false]);
    expect([canHaveKey(encoded, 186), canHaveKey(encoded, 187)]).toEqual([true, false]);
  });
});

describe("a command derived with other exptimes", () => {
  const plusTen = (exptime: number) => exptime + 10;

  function changed(frame: string, change = plusTen): string | null {
    const leaf = new LeafRoute();
    let isChanged = false;
    ask(
      {
        route: (request) => {
          const owner = { onReply: (_sent: Request, reply: Reply) => request.complete(reply) };
          const other = withExptimes(request, change, owner);
          isChanged = other !== null;
          request.retain();
          leaf.route(other ?? request);
        },
      },
      frame,
    );
    return isChanged ? leaf.sent[0]! : null;
  }

  it.each([
    ["set k 5 60 1\r\nx\r\n", "set k 5 70 1\r\nx\r\n"],
    ["append k 5 60 1\r\nx\r\n", "append k 5 70 1\r\nx\r\n"],
    ["cas k 5 60 1 8\r\nx\r\n", "cas k 5 70 1 8\r\nx\r\n"],
    ["touch k 60\r\n", "touch k 70\r\n"],
    ["gat 60 k\r\n", "gat 70 k\r\n"],
    ["gats 0 k\r\n", "gats 10 k\r\n"],
    ["ms k 1 T60 F5\r\nx\r\n", "ms k 1 T70 F5\r\nx\r\n"],
    ["ms k 1\r\nx\r\n", "ms k 1 T10\r\nx\r\n"],
    ["mg k v T60\r\n", "mg k v T70\r\n"],
    ["mg k v N30\r\n", "mg k v N40\r\n"],
    ["ma k N30 T60\r\n", "ma k N40 T70\r\n"],
    [`ms ${base64("a b")} 1 b T5\r\nx\r\n`, `ms ${base64("a b")} 1 b T15\r\nx\r\n`],
  ])("is derived from %j as %j", (frame, sent) => {
    expect(changed(frame)).toBe(sent);
  });

  it.each(["get k\r\n", "delete k\r\n", "md k T30\r\n", "incr k 1\r\n", "ma k\r\n", "mg k v\r\n", "me k\r\n"])(
    "is not derived from %j, which has no exptime",
    (frame) => {
      expect(changed(frame)).toBeNull();
    },
  );

  it("leaves a malformed number to the server", () => {
    expect(changed("ms k 1 Tabc\r\nx\r\n")).toBeNull();
    expect(exptimeOf(new Asked("ms k 1 Tabc\r\nx\r\n").request)).toBeNull();
    expect(exptimeOf(new Asked("mg k T\r\n").request)).toBeNull();
    expect(exptimeOf(new Asked("ms k 1\r\nx\r\n").request)).toBe(0);
    expect(exptimeOf(new Asked("set k 0 -1 1\r\nx\r\n").request)).toBe(-1);
  });
});

describe("a command derived with another value", () => {
  it.each([
    ["set k 1 60 3\r\nabc\r\n", "set k 5 60 2\r\nno\r\n"],
    ["cas k 1 60 3 9 noreply\r\nabc\r\n", "cas k 5 60 2 9\r\nno\r\n"],
    ["ms k 3 T5\r\nabc\r\n", "ms k 2 T5 F4\r\nno\r\n"],
    ["ms k 3 F1 T5\r\nabc\r\n", "ms k 2 F5 T5\r\nno\r\n"],
  ])("is derived from %j as %j", (frame, sent) => {
    const leaf = new LeafRoute();
    const route = (request: Request) => {
      request.retain();
      const owner = { onReply: (_sent: Request, reply: Reply) => request.complete(reply) };
      leaf.route(withData(request, Buffer.from("no"), 4, owner));
    };
    ask({ route }, frame);
    expect(leaf.sent).toEqual([sent]);
  });
});
