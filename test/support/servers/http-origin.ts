/** A real HTTP server on a free port of this machine, that answers as the test says. */

import { once } from "node:events";
import http from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** Records its requests. The test that starts it closes it. */
export class HttpOrigin {
  /** Method and path of every request, in order: `GET /a`. */
  readonly requests: string[] = [];
  readonly headers: http.IncomingHttpHeaders[] = [];
  /** Bodies of the requests that `answer` has answered, in order. */
  readonly bodies: string[] = [];
  /** Connections accepted so far. */
  connections = 0;
  /** Answers a request; by default 200 with `value of PATH`. */
  handle: (request: http.IncomingMessage, response: http.ServerResponse) => void = (request, response) => {
    response.end(`value of ${request.url}`);
  };
  private readonly server: http.Server;
  private readonly sockets = new Set<Socket>();
  private readonly waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  private constructor() {
    this.server = http.createServer((request, response) => {
      this.requests.push(`${request.method} ${request.url}`);
      this.headers.push(request.headers);
      response.on("error", () => {});
      this.handle(request, response);
      for (const { count, resolve } of this.waiting) if (this.requests.length >= count) resolve();
    });
    this.server.on("connection", (socket) => {
      this.connections++;
      this.sockets.add(socket);
      socket.once("close", () => this.sockets.delete(socket));
    });
  }

  static async start(): Promise<HttpOrigin> {
    const origin = new HttpOrigin();
    origin.server.listen(0, "127.0.0.1");
    await once(origin.server, "listening");
    return origin;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** `http://127.0.0.1:PORT` */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Answers each request after its body has arrived. */
  answer(body: string | Buffer, headers: http.OutgoingHttpHeaders = {}): void {
    this.handle = (request, response) => {
      let text = "";
      request.setEncoding("utf8");
      request.on("data", (piece: string) => {
        text += piece;
      });
      request.on("end", () => {
        this.bodies.push(text);
        response.writeHead(200, headers).end(body);
      });
    };
  }

  /** Resolves when this many requests have come and been handed to `handle`. */
  received(count: number): Promise<void> {
    if (this.requests.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ count, resolve }));
  }

  /** Resolves when the client has closed its side of every connection that is open now. */
  async left(): Promise<void> {
    const closed = [...this.sockets].map((socket) => new Promise<unknown>((resolve) => socket.once("close", resolve)));
    await Promise.all(closed);
  }

  async close(): Promise<void> {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, "close");
  }
}
