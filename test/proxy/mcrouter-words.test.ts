import { expect, it } from "vitest";
import { inMcrouterWords } from "../../src/proxy/mcrouter-words.ts";
import { failures, fixedReply, type Reply, Status, unknownStats } from "../../src/proxy/reply.ts";

const textOf = ({ chunk }: Reply) => chunk.toString("latin1");

it("failures of Platypus have mcrouter's text and the same status", () => {
  const words = Object.values(failures).map((failure) => {
    const reply = inMcrouterWords(failure);
    expect(reply.status).toBe(failure.status);
    return textOf(reply);
  });
  expect(words).toEqual([
    "SERVER_ERROR Reply timeout\r\n",
    expect.stringMatching(/^SERVER_ERROR Timed out when trying to connect to server\. Ex: /),
    expect.stringMatching(/^SERVER_ERROR AsyncSocketException: connect failed/),
    "SERVER_ERROR remote error\r\n",
    "SERVER_ERROR Server unavailable. Reason: mc_res_connect_error\r\n",
    "SERVER_ERROR Server unavailable. Reason: mc_res_timeout\r\n",
    "SERVER_ERROR busy\r\n",
  ]);
});

it("a server's own errors keep their text", () => {
  const own = fixedReply(Status.timeout, "SERVER_ERROR timeout");
  expect(inMcrouterWords(own)).toBe(own);
});

it("stats of an unknown group have mcrouter's text", () => {
  expect(textOf(inMcrouterWords(unknownStats))).toBe("CLIENT_ERROR bad stats command\r\n");
});
