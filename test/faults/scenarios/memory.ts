/** The bound on the memory of the whole process, under everything that would fill it. */
import { withMaxMemory } from "../max-memory.ts";
import type { Scenario } from "../scenario.ts";
import { STANDARD } from "../setup.ts";
import { floods } from "./floods.ts";
import { everythingLarge } from "./large-answers.ts";

const BOUND = withMaxMemory(STANDARD, 256);

export const memory: readonly Scenario[] = [
  {
    name: "memory",
    title: "max_memory = 256 MiB: all large answers and floods at once",
    setup: BOUND.setup,
    // What is over the bound is shed.
    allows: ["missed fills", "refusals"],
    touches: null,
    maxResident: BOUND.maxResident,
    run: async (stage) => {
      await Promise.all([everythingLarge(stage), ...floods.map((flood) => flood.run(stage))]);
    },
  },
];
