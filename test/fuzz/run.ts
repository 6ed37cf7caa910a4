/**
 * Fuzzes until the time is over or something is found: `npm run fuzz -- --seconds 600 --seed 1`. Round after round has
 * the next seed, so a round that failed comes first again with its own.
 */
import { parseArgs } from "node:util";
import { BackendSide } from "./backend-side.ts";
import { ClientSide, clientSetups } from "./client-side.ts";
import { FuzzFailure } from "./deadline.ts";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } },
});
const endMs = performance.now() + Number(values.seconds) * 1_000;
const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const PROGRESS_ROUNDS = 100;

async function main(): Promise<void> {
  process.stdout.write(`fuzz: seed ${firstSeed}, ${values.seconds} s\n`);
  const sides: { name: string; round(seed: number): Promise<void>; stop(): Promise<void> }[] = [];
  try {
    for (const setup of clientSetups) sides.push(await ClientSide.start(setup));
    sides.push(await BackendSide.start());
    let seed = firstSeed;
    for (; performance.now() < endMs; seed++) {
      for (const side of sides) await side.round(seed);
      const rounds = seed - firstSeed + 1;
      if (rounds % PROGRESS_ROUNDS === 0) process.stdout.write(`fuzz: ${rounds} rounds, seed ${seed}\n`);
    }
    process.stdout.write(`fuzz: ${seed - firstSeed} rounds on ${sides.length} sides, nothing found\n`);
  } catch (error) {
    process.stderr.write(`fuzz: ${error instanceof FuzzFailure ? error.message : (error as Error).stack}\n`);
    process.exitCode = 1;
  } finally {
    await Promise.all(sides.map((side) => side.stop()));
  }
}

await main();
