/**
 * `npm run faults`: makes everything of scenarios/all.ts happen to a running Platypus, one after the other, and prints what
 * the other clients saw. Exit code 1 if something promised was broken (docs/reliability.md).
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { FULL_PACE, type Result, SHORT_PACE } from "./measure.ts";
import { scenarios } from "./scenarios/all.ts";
import { Session } from "./session.ts";
import { formatTable } from "./table.ts";

const USAGE = `npm run faults -- [options]

  --only PART     only scenarios whose name contains PART
  --seconds N     how long each scenario lasts; default 5
  --short         short scenarios with small loads
  --seed N        for what is random; default 1
  --json FILE     also write the results there
  --list          print the names of the scenarios`;

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    seconds: { type: "string" },
    short: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    json: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<void> {
  const chosen = scenarios.filter(({ name }) => name.includes(values.only));
  if (values.help) console.log(USAGE);
  else if (values.list) for (const { name, title } of chosen) console.log(`${name.padEnd(22)}${title}`);
  else await runAll(chosen);
}

async function runAll(chosen: typeof scenarios): Promise<void> {
  const given = values.short ? SHORT_PACE : FULL_PACE;
  const pace = { ...given, seconds: Number(values.seconds ?? given.seconds) };
  const results: Result[] = [];
  const session = new Session(pace, Number(values.seed));
  try {
    for (const scenario of chosen) {
      const reason = scenario.skipped?.(pace.isShort) ?? null;
      console.error(`${scenario.name}: ${reason === null ? scenario.title : `skipped, ${reason}`}`);
      if (reason !== null) continue;
      const result = await session.run(scenario);
      results.push(result);
      for (const line of result.broken) console.error(`  broken: ${line}`);
    }
  } finally {
    await session.end();
  }
  console.log(`\n${formatTable(results)}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
  if (results.some(({ broken }) => broken.length > 0)) process.exitCode = 1;
}

await main();
