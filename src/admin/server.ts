/**
 * The admin server: what people and their monitoring ask of a running Platypus, over HTTP. It only reads: there is no
 * request that changes anything, whoever sends it.
 *
 * A browser that was led to a name of somebody else's which means this machine (DNS rebinding) is refused: on a loopback
 * address the Host must be a name of this machine.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { isLoopback } from "../config/address.ts";
import { type Address, addressText } from "../config/config.ts";
import { PlatypusError } from "../errors.ts";
import { PROMETHEUS_CONTENT_TYPE } from "../telemetry/prometheus.ts";

/** Under which workers are handed their socket for it. */
export const ADMIN_SOCKET = "admin";

/** What the answers are made of. */
export interface AdminFacts {
  /** As Prometheus reads it; of all workers. */
  metrics(): Promise<string>;
  /** Why clients are not to be sent here; null: they may be. */
  notReady(): string | null;
  /** The configuration, without secrets. */
  config(): unknown;
}

type Answer = (facts: AdminFacts, response: http.ServerResponse) => void | Promise<void>;

const answers: Readonly<Record<string, Answer>> = {
  "/metrics": async (facts, response) => send(response, 200, PROMETHEUS_CONTENT_TYPE, await facts.metrics()),
  "/healthz": (_facts, response) => sendText(response, 200, "ok\n"),
  "/readyz": (facts, response) => {
    const reason = facts.notReady();
    if (reason === null) sendText(response, 200, "ready\n");
    else sendText(response, 503, `not ready: ${reason}\n`);
  },
  "/config": (facts, response) =>
    send(response, 200, "application/json", `${JSON.stringify(facts.config(), null, 2)}\n`),
};

const headers = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
} as const;

/** A listening admin server. */
export class AdminServer {
  private readonly server: http.Server;
  private bound: Address;

  private constructor(server: http.Server, address: Address) {
    this.server = server;
    this.bound = address;
  }

  /**
   * `socket`: one that is bound already and shared with other processes, instead of the address. Throws a PlatypusError with
   * code LISTEN where the address cannot be had; its cause is Node's error.
   */
  static async open(address: Address, facts: AdminFacts, socket?: unknown): Promise<AdminServer> {
    const isLocal = address.type === "unix" || isLoopback(address.host);
    const server = http.createServer((request, response) => {
      if (isLocal && !isOwnName(request.headers.host)) {
        sendText(response, 403, "the Host of the request is no name of this machine\n");
        return;
      }
      handle(request, response, facts);
    });
    const admin = new AdminServer(server, address);
    await listen(server, address, socket);
    const real = server.address() as AddressInfo | string | null;
    if (address.type === "tcp" && real !== null && typeof real === "object")
      admin.bound = { ...address, port: real.port };
    // Nothing that is open here keeps the process alive.
    server.unref();
    return admin;
  }

  /** Where it listens, with the real port. */
  get address(): Address {
    return this.bound;
  }

  /** Closes it and all connections. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }
}

function listen(server: http.Server, address: Address, socket: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(adminError(address, error));
    server.once("error", fail);
    const done = () => {
      server.off("error", fail);
      resolve();
    };
    if (socket !== undefined) server.listen(socket, done);
    else if (address.type === "unix") server.listen({ path: address.path }, done);
    else server.listen({ host: address.host, port: address.port }, done);
  });
}

/** Why the address cannot be had, and what to do. */
export function adminError(address: Address, error: Error): PlatypusError {
  const where = addressText(address);
  const text = `the admin address ${where} cannot be had: ${error.message}; set [server] admin to another one, or to "off"`;
  return new PlatypusError("LISTEN", text, { cause: error });
}

function handle({ method, url = "/" }: http.IncomingMessage, response: http.ServerResponse, facts: AdminFacts): void {
  if (method !== "GET" && method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    sendText(response, 405, "only GET and HEAD\n");
    return;
  }
  const [path = "/"] = url.split("?");
  const answer = Object.hasOwn(answers, path) ? answers[path] : undefined;
  if (answer === undefined)
    sendText(response, 404, `there is nothing at this path; there are ${Object.keys(answers).join(", ")}\n`);
  else void answer(facts, response);
}

function sendText(response: http.ServerResponse, status: number, text: string): void {
  send(response, status, "text/plain; charset=utf-8", text);
}

function send(response: http.ServerResponse, status: number, type: string, text: string): void {
  const body = Buffer.from(text, "utf8");
  response.writeHead(status, { ...headers, "content-type": type, "content-length": body.length });
  response.end(body);
}

/** `localhost`, or an address: what a browser was given by somebody else is another name. */
function isOwnName(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d+$/, "");
  return name === "localhost" || name === "[::1]" || /^127(\.\d{1,3}){3}$/.test(name);
}
