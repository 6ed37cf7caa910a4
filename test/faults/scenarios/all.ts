/** All scenarios, in the order in which they run. */
import type { Scenario } from "../scenario.ts";
import { connections } from "./connections.ts";
import { floods } from "./floods.ts";
import { largeAnswers } from "./large-answers.ts";
import { memory } from "./memory.ts";
import { ownProcess } from "./process.ts";
import { servers } from "./servers.ts";
import { sources } from "./sources.ts";

export const scenarios: readonly Scenario[] = [
  ...largeAnswers,
  ...floods,
  ...connections,
  ...sources,
  ...servers,
  ...ownProcess,
  ...memory,
];
