/**
 * The admin server: reports about a running Platypus over HTTP, and commands (actions.ts). Only a POST with the token can
 * change something.
 *
 * DNS rebinding: an attacker's page may point its own name to this machine. The Host must therefore be an address, or a
 * name that an attacker cannot own (`isOwnName`); on a loopback address it must be a loopback name. A request from a
 * page of another site is refused, unless the user followed a link.
 */
import http from "node:http";
import { type AddressInfo, isIP, type Socket } from "node:net";
import { hostname } from "node:os";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Clock } from "../../clock.ts";
import { isLoopback } from "../../config/address.ts";
import { addressText, type ListenAddress } from "../../config/config.ts";
import { PlatypusError } from "../../errors.ts";
import { FirstStep } from "../../first-step.ts";
import { makeWay } from "../../proxy/client/listener.ts";
import type { Reports } from "../../telemetry/reports.ts";
import { formatFor, type PrometheusFormat, prometheusContentTypes } from "../prometheus.ts";
import { type AdminControl, answerAction } from "./actions.ts";
import { Connections } from "./connections.ts";
import { EventStreams } from "./event-streams.ts";
import { pageFile } from "./page-files.ts";

/** Maximum time from a connection to its first byte (ms). Node limits the time from there to the end of the header. */
const FIRST_BYTE_MS = 10_000;
/** Maximum number of connections: they use file descriptors that clients and servers need too. */
const MAX_CONNECTIONS = 128;

/** Name of the socket that workers inherit. */
export const ADMIN_SOCKET = "admin";

/** Content of the replies, for all workers. */
export interface AdminFacts {
  /** Metrics in one of Prometheus' formats. */
  metrics(format: PrometheusFormat): Promise<string>;
  /** Reason why the process is not ready. `null` if it is ready. */
  notReady(): Promise<string | null>;
  /** The configuration, without secrets. */
  config(): unknown;
  /** The page's samples of the last hour. */
  history(): Promise<unknown>;
  now(): Promise<unknown>;
  /** Tracked keys of a rule. */
  tracked(rule: string): Promise<unknown>;
  /** Explanation of a key, and its state now. */
  explain(key: string): Promise<unknown>;
}

interface Asked {
  readonly facts: AdminFacts;
  readonly streams: EventStreams;
  readonly query: URLSearchParams;
  readonly response: http.ServerResponse;
  readonly takesGzip: boolean;
  /** The Accept field. */
  readonly accept: string;
}

type Answer = (asked: Asked) => void | Promise<void>;

const answers: Readonly<Record<string, Answer>> = {
  "/metrics": async ({ facts, response, takesGzip, accept }) => {
    const format = formatFor(accept);
    const text = await facts.metrics(format);
    const body = takesGzip ? await promisify(gzip)(text) : text;
    const more = { vary: "accept, accept-encoding", ...(takesGzip && { "content-encoding": "gzip" }) };
    send(response, 200, prometheusContentTypes[format], body, more);
  },
  "/healthz": ({ response }) => sendText(response, 200, "ok\n"),
  "/readyz": async ({ facts, response }) => {
    const reason = await facts.notReady();
    if (reason === null) sendText(response, 200, "ready\n");
    else sendText(response, 503, `not ready: ${reason}\n`);
  },
  "/config": ({ facts, response }) => sendJson(response, facts.config()),
  "/explain": async ({ facts, response, query }) => sendJson(response, await facts.explain(query.get("key") ?? "")),
  "/tracked": async ({ facts, response, query }) => sendJson(response, await facts.tracked(query.get("rule") ?? "")),
  "/events": async ({ streams, response }) => {
    if (streams.isFull) sendText(response, 503, "too many pages are open\n");
    else await streams.add(response, headers);
  },
};

const headers = {
  "cache-control": "no-store",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
} as const;

export interface AdminOptions {
  readonly address: ListenAddress;
  readonly facts: AdminFacts;
  readonly clock: Clock;
  readonly reports: Reports;
  readonly control: AdminControl;
  /** Host names that requests may use, according to the current configuration. */
  readonly hosts?: () => readonly string[];
  /** A bound socket that processes share, instead of the address. */
  readonly socket?: unknown;
}

/** A listening admin server. */
export class AdminServer {
  private readonly server: http.Server;
  private readonly streams: EventStreams;
  private readonly connections: Connections;
  private bound: ListenAddress;

  private constructor(server: http.Server, streams: EventStreams, address: ListenAddress) {
    this.server = server;
    this.streams = streams;
    this.connections = new Connections(server);
    this.bound = address;
  }

  /** Throws a PlatypusError with code LISTEN if the address is unavailable; its cause is Node's error. */
  static async open({
    address,
    facts,
    clock,
    reports,
    control,
    hosts = () => [],
    socket,
  }: AdminOptions): Promise<AdminServer> {
    // For a given socket, true until its address is known.
    let isLocal = address.type !== "tcp" || isLoopback(address.host);
    const streams = new EventStreams(facts, clock, reports);
    const server = http.createServer((request, response) => {
      const refusal = refusalOf(request, (host) => (isLocal ? isLoopbackName(host) : isOwnName(host, hosts())));
      if (refusal !== null) sendText(response, refusal.status, `${refusal.text}\n`);
      else if (request.method === "POST") void act(request, response, control, clock);
      else void handle(request, response, facts, streams);
    });
    server.maxConnections = MAX_CONNECTIONS;
    const firstBytes = new FirstStep<Socket>({
      clock,
      timeoutMs: () => FIRST_BYTE_MS,
      isDone: ({ bytesRead }) => bytesRead > 0,
      close: (connection) => connection.destroy(),
    });
    server.on("connection", (connection: Socket) => {
      firstBytes.add(connection);
      connection.once("close", () => firstBytes.delete(connection));
    });
    server.once("close", () => firstBytes.stop());
    const admin = new AdminServer(server, streams, address);
    if (address.type === "unix" && socket === undefined) await makeWay(address.path);
    await listen(server, address, socket);
    const real = server.address() as AddressInfo | string | null;
    const isTcp = real !== null && typeof real === "object";
    if (address.type === "tcp" && isTcp) admin.bound = { ...address, port: real.port };
    if (address.type === "fd" && isTcp) isLocal = isLoopback(real.address);
    // Open connections do not keep the process alive.
    server.unref();
    return admin;
  }

  /** The listening address, with the real port. */
  get address(): ListenAddress {
    return this.bound;
  }

  /** Stops accepting connections. Resolves when the requests in flight are answered. */
  leave(): Promise<void> {
    this.streams.close();
    return this.connections.leave();
  }

  /** Closes the server and all connections. */
  async close(): Promise<void> {
    this.streams.close();
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }
}

function listen(server: http.Server, address: ListenAddress, socket: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(adminError(address, error));
    server.once("error", fail);
    const done = () => {
      server.off("error", fail);
      resolve();
    };
    if (socket !== undefined) server.listen(socket, done);
    else if (address.type === "fd") server.listen({ fd: address.fd }, done);
    else if (address.type === "unix") server.listen({ path: address.path }, done);
    else server.listen({ host: address.host, port: address.port }, done);
  });
}

/** The reason why the address is unavailable, and the remedy. */
export function adminError(address: ListenAddress, error: Error): PlatypusError {
  const where = addressText(address);
  const text = `the admin address ${where} cannot be opened: ${error.message}; set [server] admin to another one, or to "off"`;
  return new PlatypusError("LISTEN", text, { cause: error });
}

function refusalOf({ method, headers: given }: http.IncomingMessage, isOwn: (host: string) => boolean) {
  if (method !== "GET" && method !== "HEAD" && method !== "POST")
    return { status: 405, text: "only GET, HEAD and POST" };
  if (given.host !== undefined && !isOwn(nameOf(given.host))) {
    return {
      status: 403,
      text: "the Host of the request is no name of this machine; [server] admin_hosts takes others",
    };
  }
  const isForeign = given["sec-fetch-site"] === "cross-site" || given["sec-fetch-site"] === "same-site";
  if (isForeign && given["sec-fetch-mode"] !== "navigate") {
    return { status: 403, text: "a page of another site may not read this" };
  }
  return null;
}

async function act(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  control: AdminControl,
  clock: Clock,
): Promise<void> {
  try {
    await answerAction(request, response, control, clock, headers);
  } catch (error) {
    if (!response.headersSent) sendText(response, 500, `${(error as Error).message}\n`);
    else response.destroy();
  }
}

async function handle(
  { url = "/", headers: given }: http.IncomingMessage,
  response: http.ServerResponse,
  facts: AdminFacts,
  streams: EventStreams,
): Promise<void> {
  const at = url.indexOf("?");
  const path = at < 0 ? url : url.slice(0, at);
  try {
    const file = pageFile(path);
    const answer = Object.hasOwn(answers, path) ? answers[path] : undefined;
    if (file !== null) send(response, 200, file.type, file.content);
    else if (answer !== undefined) {
      const query = new URLSearchParams(at < 0 ? "" : url.slice(at + 1));
      const takesGzip = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(String(given["accept-encoding"] ?? ""));
      await answer({ facts, streams, query, response, takesGzip, accept: given.accept ?? "" });
    } else sendText(response, 404, `there is nothing at this path; there are ${Object.keys(answers).join(", ")}\n`);
  } catch (error) {
    if (!response.headersSent) sendText(response, 500, `${(error as Error).message}\n`);
    else response.destroy();
  }
}

function sendText(response: http.ServerResponse, status: number, text: string): void {
  send(response, status, "text/plain; charset=utf-8", text);
}

function sendJson(response: http.ServerResponse, value: unknown): void {
  send(response, 200, "application/json", `${JSON.stringify(value, null, 2)}\n`);
}

function send(
  response: http.ServerResponse,
  status: number,
  type: string,
  content: string | Buffer,
  more: http.OutgoingHttpHeaders = {},
): void {
  const body = typeof content === "string" ? Buffer.from(content, "utf8") : content;
  response.writeHead(status, { ...headers, ...more, "content-type": type, "content-length": body.length });
  response.end(body);
}

/** The name in a Host header, in lower case, without the port and without the brackets of an IPv6 address. */
function nameOf(host: string): string {
  return host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();
}

/** True for `localhost` and loopback addresses. An attacker's page cannot have such a Host. */
function isLoopbackName(name: string): boolean {
  return name === "localhost" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Domains in which an attacker cannot own a name (RFC 6762, RFC 8375, ICANN's .internal, and common local domains). */
const PRIVATE_DOMAIN = /\.(internal|local|localhost|localdomain|lan|home\.arpa)$/;

/** True for an address, and for a name in the operator's own network. */
function isOwnName(name: string, hosts: readonly string[]): boolean {
  if (isIP(name) !== 0 || !name.includes(".") || PRIVATE_DOMAIN.test(name)) return true;
  return name === hostname().toLowerCase() || hosts.includes(name);
}
