/**
 * What the servers of a pool say of themselves: one `stats` to each, on a connection that clients' requests use too. Who
 * is down, refuses or hangs is left out, so that the answer comes in time whatever they do.
 */
import type { Clock } from "../../clock.ts";
import type { Backend } from "../backend/backend.ts";
import { ownRequest } from "../backend/own-request.ts";
import { type Reply, Status } from "../reply.ts";
import { Operation } from "../request.ts";

/** Whatever the servers' own time-outs: clients give a server a second (Dalli). */
const MAX_WAIT_MS = 500;

/** The lines of one server: values by name, in its order. */
export type ServerStats = ReadonlyMap<string, string>;

/**
 * Asks for `stats GROUP` ("": plain `stats`) and calls `done` once, at once or later, with what was answered, in the order
 * of `backends`.
 */
export function askServers(
  backends: readonly Backend[],
  group: string,
  clock: Clock,
  done: (answers: readonly ServerStats[]) => void,
): void {
  askServersForLines(backends, group, clock, (answers) => done(answers.map(readStats)));
}

/** The same, with the lines of each answer as they are; END is left out. */
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
