/**
 * mcrouter's texts for failures that Platypus answers itself: existing log monitors and alerts match them.
 *
 * Source: mcrouter lib/network/McClientRequestContext-inl.h, AsyncMcClientImpl.cpp, routes/DestinationRoute.h, as facts.
 */
import { failures, fixedReply, type Reply } from "./reply.ts";

const texts: readonly (readonly [Reply, string])[] = [
  [failures.timeout, "Reply timeout"],
  [
    failures.connectTimeout,
    "Timed out when trying to connect to server. Ex: AsyncSocketException: connect timed out, type = Timed out",
  ],
  [failures.connectError, "AsyncSocketException: connect failed, type = Socket not open"],
  [failures.tkoAfterTimeouts, "Server unavailable. Reason: mc_res_timeout"],
  [failures.tko, "Server unavailable. Reason: mc_res_connect_error"],
];

/** By the bytes of Platypus' texts, which no other reply has. */
const byBytes: ReadonlyMap<Buffer, Reply> = new Map(
  texts.map(([own, text]) => [own.chunk, fixedReply(own.status, `SERVER_ERROR ${text}`)]),
);

/** The failure with mcrouter's text. A reply that is not one of Platypus' failures is returned unchanged. */
export function inMcrouterWords(reply: Reply): Reply {
  return byBytes.get(reply.chunk) ?? reply;
}
