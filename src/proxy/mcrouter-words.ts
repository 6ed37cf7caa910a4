/**
 * mcrouter's texts for failures that Platypus answers itself: existing log monitors and alerts match them.
 *
 * Source: mcrouter lib/network/McClientRequestContext-inl.h, AsyncMcClientImpl.cpp, routes/DestinationRoute.h, stats.cpp,
 * as facts.
 */
import { failures, fixedReply, type Reply, unknownStats } from "./reply.ts";

const texts: readonly (readonly [Reply, string])[] = [
  [failures.timeout, "SERVER_ERROR Reply timeout"],
  [
    failures.connectTimeout,
    "SERVER_ERROR Timed out when trying to connect to server. Ex: AsyncSocketException: connect timed out, type = Timed out",
  ],
  [failures.connectError, "SERVER_ERROR AsyncSocketException: connect failed, type = Socket not open"],
  [failures.tkoAfterTimeouts, "SERVER_ERROR Server unavailable. Reason: mc_res_timeout"],
  [failures.tko, "SERVER_ERROR Server unavailable. Reason: mc_res_connect_error"],
  [unknownStats, "CLIENT_ERROR bad stats command"],
];

/** By the bytes of Platypus' texts, which no other reply has. */
const byBytes: ReadonlyMap<Buffer, Reply> = new Map(
  texts.map(([own, text]) => [own.chunk, fixedReply(own.status, text)]),
);

/** The failure with mcrouter's text. A reply that is not one of Platypus' failures is returned unchanged. */
export function inMcrouterWords(reply: Reply): Reply {
  return byBytes.get(reply.chunk) ?? reply;
}
