/**
 * Fuzzes until the time is over or something is found: `npm run fuzz -- --seconds 600 --seed 1`. `--relay-requests N` asks N
 * commands through relays that lie, and nothing else; `--help` tells of all options. Round after round has
 * the next seed, so a round that failed comes first again with its own. Memory that goes on growing is a find, too. With
 * PLATYPUS_FUZZ_MEMCACHED=PROGRAM another build of memcached, and its proxy, are fuzzed against as well.
 */

import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { BackendSide } from "./backend-side.ts";
import { ClientSide, clientSetups } from "./client-side.ts";
import { FuzzFailure } from "./deadline.ts";
import { GrammarSide, grammarSetups } from "./grammar-side.ts";
import { LIES } from "./lying-relay.ts";
import { RelaySide, WITHOUT_OPAQUES } from "./relay-side.ts";
import { ReloadSide } from "./reload-side.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string" },
    "relay-requests": { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const HELP = `npm run fuzz -- [options]
  --seconds N          fuzz for N seconds (default: 60)
  --seed N             seed of the first round; each round has the next one (default: random)
  --relay-requests N   instead of --seconds: ask N commands through relays that lie about one answer in ten,
                       and print how many lies were told, how many connections were closed for them, and how
                       many answers were wrong. Several processes may run with seeds that are far apart.
  --help               print this text
Exit status: 0 if nothing was found, 1 otherwise.
`;
const endMs = performance.now() + Number(values.seconds) * 1_000;
const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
/** There one line is written again and again. */
const isTerminal = process.stdout.isTTY === true;
const PROGRESS_ROUNDS = 100;
/** Rounds after which memory has what it needs: code compiled, stores filled. */
const WARM_ROUNDS = 300;
const MAX_GROWTH_BYTES = 48 * 1024 * 1024;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes in use, without garbage. */
function usedBytes(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

async function main(): Promise<void> {
  process.stdout.write(`fuzz: seed ${firstSeed}, ${values.seconds} s\n`);
  const sides: { name: string; round(seed: number): Promise<void>; stop(): Promise<void> }[] = [];
  try {
    for (const setup of clientSetups) sides.push(await ClientSide.start(setup));
    sides.push(await BackendSide.start());
    for (const version of [null, WITHOUT_OPAQUES]) sides.push(await RelaySide.start(version));
    for (const isOld of [false, true]) sides.push(await ReloadSide.start(isOld));
    for (const setup of grammarSetups) if (!setup.isMissing) sides.push(await GrammarSide.start(setup));
    let seed = firstSeed;
    let warmBytes = Number.POSITIVE_INFINITY;
    for (; performance.now() < endMs; seed++) {
      for (const side of sides) await side.round(seed);
      const rounds = seed - firstSeed + 1;
      if (rounds % PROGRESS_ROUNDS !== 0) continue;
      const bytes = usedBytes();
      const secondsLeft = Math.max(0, Math.round((endMs - performance.now()) / 1_000));
      const line = `fuzz: ${rounds} rounds, seed ${seed}, ${(bytes / 2 ** 20).toFixed(1)} MiB in use, ${secondsLeft} s left`;
      process.stdout.write(isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
      if (rounds === WARM_ROUNDS) warmBytes = bytes;
      if (bytes > warmBytes + MAX_GROWTH_BYTES)
        throw new FuzzFailure(`memory grew from ${warmBytes} to ${bytes} bytes`);
    }
    if (isTerminal) process.stdout.write("\r\x1b[K");
    process.stdout.write(`fuzz: ${seed - firstSeed} rounds on ${sides.length} sides, nothing found\n`);
  } catch (error) {
    if (isTerminal) process.stdout.write("\n");
    process.stderr.write(`fuzz: ${error instanceof FuzzFailure ? error.message : (error as Error).stack}\n`);
    process.exitCode = 1;
  } finally {
    await Promise.all(sides.map((side) => side.stop()));
  }
}

/** Relays that are asked side by side. */
const RELAYS = 6;
const RELAY_PROGRESS_MS = 10_000;

/** Asks `count` commands through relays that lie. */
async function askRelays(count: number): Promise<void> {
  const sides: RelaySide[] = [];
  const wrong: string[] = [];
  const sum = (numberOf: (side: RelaySide) => number) => sides.reduce((total, side) => total + numberOf(side), 0);
  const totals = () =>
    `${sum(({ asked }) => asked)} requests, ${sum((side) => side.closed)} connections closed, ${wrong.length} wrong`;
  let seed = firstSeed;
  let saidMs = performance.now();
  process.stdout.write(`fuzz: seed ${firstSeed}, ${count} requests through ${RELAYS} relays\n`);
  const askOne = async (side: RelaySide) => {
    while (wrong.length === 0 && sum(({ asked }) => asked) < count) {
      try {
        await side.round(seed++);
      } catch (error) {
        wrong.push(error instanceof FuzzFailure ? error.message : String((error as Error).stack));
      }
      if (performance.now() < saidMs + RELAY_PROGRESS_MS) continue;
      saidMs = performance.now();
      process.stdout.write(`fuzz: ${totals()}\n`);
    }
  };
  try {
    for (let i = 0; i < RELAYS; i++) sides.push(await RelaySide.start(i === 0 ? WITHOUT_OPAQUES : null));
    await Promise.all(sides.map(askOne));
    const told = LIES.map((lie) => `${lie} ${sum(({ relay }) => relay.told[lie])}`).join(", ");
    process.stdout.write(`fuzz: ${totals()}\nfuzz: lies told: ${told}\n`);
  } finally {
    await Promise.all(sides.map((side) => side.stop()));
  }
  for (const line of wrong) process.stderr.write(`fuzz: ${line}\n`);
  if (wrong.length > 0) process.exitCode = 1;
}

if (values.help) process.stdout.write(HELP);
else if (values["relay-requests"] !== undefined) await askRelays(Number(values["relay-requests"]));
else await main();
