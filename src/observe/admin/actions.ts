/**
 * Commands over the admin address: POST requests with the token of `[server] admin_token`. Without a token there are none.
 *
 *     POST /refresh?key=K | prefix=P | rule=R      the counts of the job as JSON lines, until nothing is left
 *     POST /forget?…                               the same
 *     POST /drain?server=S, /undrain?server=S
 *     POST /breaker/close?source=S
 *     POST /log-level?level=L                      until the next reload
 */
import { createHash, randomUUID, timingSafeEqual } from "node:crypto";
import type http from "node:http";
import type { Clock } from "../../clock.ts";
import type { ControlAnswer, ControlCommand, Counts, Selector } from "../control.ts";

const PROGRESS_MS = 200;

/** Executes commands in all workers. */
export interface AdminControl {
  /** `null` if there are no commands. */
  token(): string | null;
  execute(command: ControlCommand): Promise<ControlAnswer>;
  /** A command was refused because of its token. */
  refused(client: string): void;
}

/** A refusal of a request. */
interface Refusal {
  readonly status: number;
  readonly text: string;
}

type Read = (query: URLSearchParams) => ControlCommand | Refusal;

const commands: Readonly<Record<string, Read>> = {
  "/refresh": (query) => job("refresh", query),
  "/forget": (query) => job("forget", query),
  "/drain": (query) => withValue(query, "server", (server) => ({ type: "drain", server })),
  "/undrain": (query) => withValue(query, "server", (server) => ({ type: "undrain", server })),
  "/breaker/close": (query) => withValue(query, "source", (source) => ({ type: "closeBreaker", source })),
  "/log-level": (query) => withValue(query, "level", (level) => ({ type: "logLevel", level })),
};

/** Answers a POST request. `headers` are sent with each answer. */
export async function answerAction(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  control: AdminControl,
  clock: Clock,
  headers: http.OutgoingHttpHeaders,
): Promise<void> {
  const refuse = ({ status, text }: Refusal, more: http.OutgoingHttpHeaders = {}) => {
    response.writeHead(status, { ...headers, ...more, "content-type": "text/plain; charset=utf-8" });
    response.end(`${text}\n`);
  };
  // The body has no meaning.
  request.resume();
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://admin");
  const token = control.token();
  if (token === null) return refuse({ status: 405, text: "only GET and HEAD: [server] admin_token is not set" });
  if (!isAuthorized(request.headers.authorization, token)) {
    control.refused(request.socket.remoteAddress ?? "a local client");
    return refuse(
      { status: 401, text: "the token of [server] admin_token is needed" },
      { "www-authenticate": "Bearer" },
    );
  }
  const read = Object.hasOwn(commands, pathname) ? commands[pathname] : undefined;
  if (read === undefined) {
    return refuse({ status: 404, text: `there is no such command; there are ${Object.keys(commands).join(", ")}` });
  }
  const command = read(searchParams);
  if ("status" in command) return refuse(command);
  const answer = await control.execute(command);
  if ("error" in answer) return refuse({ status: 404, text: answer.error });
  if (command.type !== "refresh" && command.type !== "forget") {
    response.writeHead(200, { ...headers, "content-type": "application/json" });
    response.end(`${JSON.stringify(answer.counts)}\n`);
    return;
  }
  response.writeHead(200, { ...headers, "content-type": "application/x-ndjson" });
  await tellProgress(response, command.job, answer.counts, control, clock);
}

/** Sends the counts of a job until it has ended. The job goes on if the client disconnects. */
async function tellProgress(
  response: http.ServerResponse,
  name: string,
  first: Counts,
  control: AdminControl,
  clock: Clock,
): Promise<void> {
  let counts = first;
  for (;;) {
    response.write(`${JSON.stringify(counts)}\n`);
    if ((counts.left ?? 0) === 0 || response.destroyed) break;
    await new Promise<void>((resolve) => clock.setTimer(PROGRESS_MS, resolve));
    const answer = await control.execute({ type: "progress", job: name });
    if ("error" in answer) break;
    counts = answer.counts;
  }
  response.end();
}

function isAuthorized(header: string | undefined, token: string): boolean {
  const given = /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1] ?? "";
  const digest = (text: string) => createHash("sha256").update(text, "utf8").digest();
  return timingSafeEqual(digest(given), digest(token));
}

function job(type: "refresh" | "forget", query: URLSearchParams): ControlCommand | Refusal {
  const given = [...query].filter(([name]) => name === "key" || name === "prefix" || name === "rule");
  const [one] = given;
  if (one === undefined || given.length > 1) return { status: 400, text: "expected one of key, prefix and rule" };
  const [name, text] = one;
  // Keys have one character per byte.
  const value = name === "rule" ? text : Buffer.from(text, "utf8").toString("latin1");
  return { type, job: randomUUID(), selector: { [name]: value } as unknown as Selector };
}

function withValue(
  query: URLSearchParams,
  name: string,
  make: (value: string) => ControlCommand,
): ControlCommand | Refusal {
  const value = query.get(name);
  return value === null || value === "" ? { status: 400, text: `expected ${name}` } : make(value);
}
