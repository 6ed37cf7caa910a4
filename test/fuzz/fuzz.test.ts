/** A few rounds of `npm run fuzz`, always the same ones. */
import { describe, expect, it } from "vitest";
import { MemcachedProcess } from "../support/memcached-process.ts";
import { BackendSide } from "./backend-side.ts";
import { ClientSide, clientSetups } from "./client-side.ts";

const ROUNDS = 100;

async function fuzz(starting: Promise<ClientSide | BackendSide>): Promise<void> {
  const side = await starting;
  try {
    for (let seed = 1; seed <= ROUNDS; seed++) await side.round(seed);
  } finally {
    await side.stop();
  }
}

describe("whatever clients send, others are told exactly their own", () => {
  for (const setup of clientSetups) {
    const isSkipped = setup.memcacheds > 0 && MemcachedProcess.isMissing;
    it.skipIf(isSkipped)(setup.name, async () => {
      await expect(fuzz(ClientSide.start(setup))).resolves.toBeUndefined();
    });
  }
});

it("whatever servers answer, no key is given the value of another, and the truth is told when it is back", async () => {
  await expect(fuzz(BackendSide.start())).resolves.toBeUndefined();
});
