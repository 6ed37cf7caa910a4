/**
 * Stats of a pool's servers: one `stats` to each, on a connection that client requests use too. Servers that are down,
 * refuse or hang are left out, so that the reply is always in time.
 */
import type { Clock } from "../../clock.ts";
import type { Backend } from "../backend/backend.ts";
import { ownRequest } from "../backend/own-request.ts";
import { type Reply, Status } from "../reply.ts";
import { Operation } from "../request.ts";

/** Independent of the servers' timeouts: clients wait a second for a server (Dalli). */
const MAX_WAIT_MS = 500;

/** The lines of one server: values by name, in the server's order. */
export type ServerStats = ReadonlyMap<string, string>;

/**
 * Asks for `stats GROUP` ("": plain `stats`) and calls `done` once, synchronously or later, with the replies in the
 * order of `backends`.
 */
export function askServers(
  backends: readonly Backend[],
  group: string,
  clock: Clock,
  done: (answers: readonly ServerStats[]) => void,
): void {
  askServersForLines(backends, group, clock, (answers) => done(answers.map(readStats)));
}

/** Like `askServers`, with the unparsed lines of each reply, without END. */
export function askServersForLines(
  backends: readonly Backend[],
  group: string,
  clock: Clock,
  done: (answers: readonly (readonly string[])[]) => void,
): void {
  const answers: (readonly string[] | null)[] = backends.map(() => null);
  let isDone = false;
  const finish = () => {
    if (isDone) return;
    isDone = true;
    clock.clearTimer(timer);
    done(answers.filter((answer) => answer !== null));
  };
  const timer = clock.setTimer(MAX_WAIT_MS, finish);
  let due = backends.length;
  if (due === 0) finish();
  const line = group === "" ? "stats" : `stats ${group}`;
  for (const [i, backend] of backends.entries()) {
    const request = ownRequest(Operation.stats, line, null, (reply) => {
      if (reply.status === Status.ok) answers[i] = linesOf(reply);
      if (--due === 0) finish();
    });
    backend.send(request, 0);
  }
}

function linesOf(reply: Reply): readonly string[] {
  const lines = reply.chunk.toString("latin1", reply.start, reply.end).split("\r\n");
  return lines.filter((line) => line !== "" && line !== "END");
}

function readStats(lines: readonly string[]): ServerStats {
  return new Map(
    lines.flatMap((line) => {
      const [, name, value] = /^STAT (\S+) ?(.*)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, value!] as const];
    }),
  );
}
