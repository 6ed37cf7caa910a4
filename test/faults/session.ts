/** Runs scenarios one after the other. Short ones share a rig where the setup is the same; others each have a new one. */
import { type Pace, type Result, runScenario } from "./measure.ts";
import { Rig } from "./rig.ts";
import type { Scenario } from "./scenario.ts";

export class Session {
  private readonly pace: Pace;
  private readonly seed: number;
  private rig: Rig | null = null;

  constructor(pace: Pace, seed: number) {
    this.pace = pace;
    this.seed = seed;
  }

  async run(scenario: Scenario): Promise<Result> {
    const isReused = this.pace.isShort && this.rig?.setup === scenario.setup && this.rig.isAlive;
    if (!isReused) {
      await this.end();
      this.rig = await Rig.start(scenario.setup, this.seed);
    }
    return runScenario(this.rig!, scenario, this.pace, this.seed);
  }

  async end(): Promise<void> {
    const { rig } = this;
    this.rig = null;
    await rig?.stop();
  }
}
