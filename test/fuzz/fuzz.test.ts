/** A few rounds of `npm run fuzz`, always the same ones. */
import { describe, expect, it } from "vitest";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { BackendSide } from "./backend-side.ts";
import { ClientSide, clientSetups } from "./client-side.ts";
import { GrammarSide, grammarSetups } from "./grammar-side.ts";
import { RelaySide, WITHOUT_OPAQUES } from "./relay-side.ts";
import { ReloadSide } from "./reload-side.ts";

const ROUNDS = 100;
const FEW_ROUNDS = 10;

interface Side {
  round(seed: number): Promise<void>;
  stop(): Promise<void>;
}

async function fuzz(starting: Promise<Side>, rounds = ROUNDS): Promise<void> {
  const side = await starting;
  try {
    for (let seed = 1; seed <= rounds; seed++) await side.round(seed);
  } finally {
    await side.stop();
  }
}

describe("whatever clients send, other clients receive exactly their own answers", () => {
  for (const setup of clientSetups) {
    const isSkipped = setup.memcacheds > 0 && MemcachedProcess.isMissing;
    it.skipIf(isSkipped)(setup.name, async () => {
      await expect(fuzz(ClientSide.start(setup))).resolves.toBeUndefined();
    });
  }
});

it("whatever servers answer, no key gets the value of another, and correct answers return with the server", async () => {
  await expect(fuzz(BackendSide.start())).resolves.toBeUndefined();
});

describe("a server receives canonical commands only, and each request has one answer, whatever clients send", () => {
  for (const setup of grammarSetups) {
    it.skipIf(setup.isMissing)(`over ${setup.name}`, async () => {
      await expect(fuzz(GrammarSide.start(setup), FEW_ROUNDS)).resolves.toBeUndefined();
    });
  }
});

it.skipIf(MemcachedProcess.isMissing)(
  "no client receives the answer to another request, whatever a relay before the server does to the answers",
  async () => {
    await expect(fuzz(RelaySide.start(), FEW_ROUNDS)).resolves.toBeUndefined();
    await expect(fuzz(RelaySide.start(WITHOUT_OPAQUES), FEW_ROUNDS)).resolves.toBeUndefined();
  },
);

describe.skipIf(MemcachedProcess.isMissing)(
  "no command fails, is lost or overtaken while configurations are reloaded",
  () => {
    it("over current servers", async () => {
      await expect(fuzz(ReloadSide.start(), FEW_ROUNDS)).resolves.toBeUndefined();
    });

    it("over servers without meta commands", async () => {
      await expect(fuzz(ReloadSide.start(true), FEW_ROUNDS)).resolves.toBeUndefined();
    });
  },
);
