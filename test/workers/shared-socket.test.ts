import { once } from "node:events";
import net from "node:net";
import { describe, expect, it } from "vitest";
import { SharedSocket } from "../../src/workers/shared-socket.ts";

describe("SharedSocket", () => {
  it("refuses an address that another program uses, and knows the port of others", async () => {
    const other = net.createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as net.AddressInfo;
    const address = { type: "tcp", isTls: false, host: "127.0.0.1", port } as const;
    await expect(SharedSocket.open(address)).rejects.toMatchObject({
      code: "LISTEN",
      message: expect.stringMatching(/is in use/),
    });
    other.close();
    await once(other, "close");
    const free = await SharedSocket.open({ ...address, port: 0 });
    expect(free.address).toMatchObject({ port: expect.any(Number) });
    expect((free.address as unknown as net.AddressInfo).port).toBeGreaterThan(0);
    free.close();
  });
});
