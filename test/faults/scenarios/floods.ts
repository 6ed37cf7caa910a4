/** One client that sends as fast as it can. */
import { setTimeout as sleep } from "node:timers/promises";
import { hostileStream } from "../../fuzz/hostile-traffic.ts";
import { TextClient } from "../../support/clients/text-client.ts";
import { Crowd, pour } from "../crowd.ts";
import type { Scenario, Stage } from "../scenario.ts";
import { STANDARD } from "../setup.ts";

/** Commands in one piece. */
const BATCH = 500;
const MULTIGET_KEYS = 10_000;
let used = 0;

/** Pours commands until the time is over. `command` is given a number that it was never given before. */
async function flood(stage: Stage, command: (number: number) => string, batch = BATCH): Promise<void> {
  const endMs = performance.now() + stage.seconds * 1_000;
  const pieces = stage.amount(Number.POSITIVE_INFINITY, 2);
  await Crowd.of(async (crowd) => {
    await pour(await crowd.join(stage.rig.port), endMs, (index) => {
      if (index >= pieces) return null;
      let text = "";
      for (let i = 0; i < batch; i++) text += command(used++);
      return text;
    });
    if (performance.now() < endMs) await sleep(endMs - performance.now());
  });
}

async function hits(stage: Stage): Promise<void> {
  const client = await TextClient.connect(stage.rig.port);
  await client.ask("set flood:hit 0 0 10\r\n0123456789");
  client.close();
  await flood(stage, () => "get flood:hit\r\n");
}

function multigets(stage: Stage, key: (number: number) => string): Promise<void> {
  const keys = stage.amount(MULTIGET_KEYS, 200);
  const line = () => {
    let text = "get";
    for (let i = 0; i < keys; i++) text += ` ${key(used++)}`;
    return `${text}\r\n`;
  };
  return flood(stage, line, 1);
}

/** Garbage, half commands, and frames that are cut and changed: connection after connection. */
async function hostile(stage: Stage): Promise<void> {
  const endMs = performance.now() + stage.seconds * 1_000;
  while (performance.now() < endMs) {
    await Crowd.of(async (crowd) => {
      for (const { socket } of await crowd.joinMany(8, stage.rig.port)) socket.write(hostileStream(stage.random));
      await sleep(20);
    });
  }
}

const set = (number: number) => `set flood:${number % 5_000} 0 0 100\r\n${"s".repeat(100)}\r\n`;

const row = (name: string, title: string, run: Scenario["run"]): Scenario => ({
  name: `flood-${name}`,
  title: `one client floods: ${title}`,
  setup: STANDARD,
  allows: [],
  touches: "clients",
  run,
});

export const floods: readonly Scenario[] = [
  // Its fills fill the queue of the source, which is everybody's.
  {
    ...row("covered", "misses that a rule covers", (stage) => flood(stage, (n) => `get page/flood:${n}\r\n`)),
    allows: ["missed fills"],
    touches: "source",
  },
  row("uncovered", "misses that no rule covers", (stage) => flood(stage, (n) => `get flood:none:${n}\r\n`)),
  row("hits", "hits", hits),
  row("sets", "sets", (stage) => flood(stage, set)),
  row("multigets", "multigets of 10,000 keys", (stage) => multigets(stage, (n) => `flood:none:${n % 100_000}`)),
  {
    ...row("cold-multigets", "multigets of 10,000 covered keys", (stage) => multigets(stage, (n) => `page/flood:${n}`)),
    allows: ["missed fills"],
    touches: "source",
  },
  row("hostile", "garbage, half commands, binary garbage", hostile),
];
