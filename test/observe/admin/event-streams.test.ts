/** Pages that are told what happens: one that does not read is let go and counted, the others go on. */
import http from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe, expect, it } from "vitest";
import { EventStreams } from "../../../src/observe/admin/event-streams.ts";
import { Reports } from "../../../src/telemetry/reports.ts";
import { KeptLog } from "../../support/fakes/kept-log.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";

describe("an event stream whose page does not read", () => {
  it("is closed, counted and named in the log", async (test) => {
    const clock = new ManualClock();
    const kept = new KeptLog();
    const reports = new Reports(kept.log, clock);
    // More a second than the kernel takes for a reader that is away, and less than the bound.
    const source = { history: async () => "", now: async () => "x".repeat(3 << 20) };
    const streams = new EventStreams(source, clock, reports);
    const { promise: closed, resolve: letGo } = Promise.withResolvers<void>();
    const server = http.createServer((_, response) => {
      response.once("close", letGo);
      void streams.add(response, {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    test.onTestFinished(() => {
      streams.close();
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const page = connect(port, "127.0.0.1").pause();
    test.onTestFinished(() => void page.destroy());
    page.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await expect.poll(() => clock.advance(1_000) ?? kept.lines, { timeout: 20_000 }).toHaveLength(1);
    await closed;
    expect(kept.lines[0]).toMatch(/admin: a page was closed: it did not read \d+ bytes/);
    expect(reports.failures.get("page")).toBe(1);
  });
});
