import { once } from "node:events";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Connections } from "../../../src/observe/admin/connections.ts";

const REQUEST = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

let server: http.Server;
let connections: Connections;
let responses: http.ServerResponse[];

beforeEach(async () => {
  responses = [];
  server = http.createServer((_request, response) => {
    responses.push(response);
    server.emit("asked");
  });
  connections = new Connections(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterEach(() => server.closeAllConnections());

/** A connection that the server has accepted, and all that it has received when it is closed. */
async function connect() {
  const accepted = once(server, "connection");
  const socket = net.connect((server.address() as AddressInfo).port, "127.0.0.1");
  await accepted;
  let text = "";
  socket.setEncoding("latin1").on("data", (more) => {
    text += more;
  });
  const closed = new Promise<string>((resolve) => {
    socket.once("error", (error) => resolve(error.message));
    socket.once("close", () => resolve(text));
  });
  return { socket, closed };
}

async function ask(socket: net.Socket): Promise<http.ServerResponse> {
  const asked = once(server, "asked");
  socket.write(REQUEST);
  await asked;
  return responses.at(-1)!;
}

describe("a server that is left", () => {
  it("answers a connection whose first request is on its way, and then closes it", async () => {
    const { socket, closed } = await connect();
    const left = connections.leave();
    (await ask(socket)).end("late");
    expect(await closed).toMatch(/^HTTP\/1.1 200 OK.*late/s);
    await left;
  });

  it("answers a request in progress, and then closes its connection", async () => {
    const { socket, closed } = await connect();
    const response = await ask(socket);
    const left = connections.leave();
    response.end("slow");
    expect(await closed).toMatch(/^HTTP\/1.1 200 OK.*slow/s);
    await left;
  });

  it("closes a connection without a request at once, and accepts no other", async () => {
    const { socket, closed } = await connect();
    const response = await ask(socket);
    const answered = once(response, "close");
    response.end("done");
    await answered;
    const { port } = server.address() as AddressInfo;
    await connections.leave();
    expect(await closed).toMatch(/^HTTP\/1.1 200 OK.*done/s);
    const refused = net.connect(port, "127.0.0.1");
    const [error] = await once(refused, "error");
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
  });
});
