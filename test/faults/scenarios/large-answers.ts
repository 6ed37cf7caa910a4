/** Answers and values that would fill the memory: many large ones asked for at once, not read, or never finished. */
import { setTimeout as sleep } from "node:timers/promises";
import { TextClient } from "../../support/clients/text-client.ts";
import { Crowd } from "../crowd.ts";
import type { Scenario, Stage } from "../scenario.ts";
import { type Setup, STANDARD } from "../setup.ts";

/** The largest that a server takes with its head: about 1 MiB. */
const VALUE_BYTES = 1_048_000;
const VALUE = "L".repeat(VALUE_BYTES);
const KEY = "L";
const UNREAD_CLIENTS = 40;
const UNREAD_KEYS = 57;
const UNFINISHED_SETS = 300;
const EMBEDDED: Setup = { ...STANDARD, servers: 0 };

async function store(stage: Stage): Promise<void> {
  const client = await TextClient.connect(stage.rig.port);
  const answer = await client.ask(`set ${KEY} 0 0 ${VALUE_BYTES}\r\n${VALUE}`);
  client.close();
  if (answer !== "STORED\r\n") throw new Error(`the large value: ${answer}`);
}

function lineOf(keys: number): string {
  return `get${` ${KEY}`.repeat(keys)}\r\n`;
}

/** One line for `keys` large values. */
async function oneLine(stage: Stage, isReading: boolean): Promise<void> {
  await store(stage);
  const keys = stage.amount(2_000, 40);
  await Crowd.of(async (crowd) => {
    const member = await crowd.join(stage.rig.port, isReading);
    member.socket.write(lineOf(keys));
    const endMs = performance.now() + stage.seconds * 1_000;
    const isOver = () => performance.now() > endMs || member.socket.destroyed || member.received >= keys * VALUE_BYTES;
    while (!isOver()) await sleep(20);
  });
}

async function unreadAnswers(stage: Stage): Promise<void> {
  await store(stage);
  await Crowd.of(async (crowd) => {
    const members = await crowd.joinMany(stage.amount(UNREAD_CLIENTS, 4), stage.rig.port, false);
    for (const { socket } of members) socket.write(lineOf(stage.amount(UNREAD_KEYS, 10)));
    await sleep(stage.seconds * 1_000);
  });
}

async function unfinishedSets(stage: Stage): Promise<void> {
  const most = VALUE.slice(0, VALUE_BYTES - 1_000);
  await Crowd.of(async (crowd) => {
    const members = await crowd.joinMany(stage.amount(UNFINISHED_SETS, 10), stage.rig.port);
    for (const [i, { socket }] of members.entries()) socket.write(`set unfinished:${i} 0 0 ${VALUE_BYTES}\r\n${most}`);
    await sleep(stage.seconds * 1_000);
  });
}

/** All of these at once, for a bound on memory. */
export async function everythingLarge(stage: Stage): Promise<void> {
  await Promise.all([oneLine(stage, true), oneLine(stage, false), unreadAnswers(stage), unfinishedSets(stage)]);
}

const row = (name: string, title: string, setup: Setup, run: Scenario["run"]): Scenario => ({
  name,
  title,
  setup,
  allows: [],
  touches: "clients",
  run,
});

export const largeAnswers: readonly Scenario[] = [
  row("line-read", "one get line of 2,000 keys of 1 MiB, read", STANDARD, (stage) => oneLine(stage, true)),
  row("line-unread", "one get line of 2,000 keys of 1 MiB, not read", STANDARD, (stage) => oneLine(stage, false)),
  row("line-read-store", "the line, read, in-process store", EMBEDDED, (stage) => oneLine(stage, true)),
  row("line-unread-store", "the line, not read, in-process store", EMBEDDED, (stage) => oneLine(stage, false)),
  row("unread-answers", "40 clients that do not read 57 MiB each", STANDARD, unreadAnswers),
  row("unfinished-sets", "300 unfinished sets of 1 MiB", STANDARD, unfinishedSets),
];
