/** A source that fails, for all pages or for those of one client. */
import { setTimeout as sleep } from "node:timers/promises";
import { Crowd } from "../crowd.ts";
import type { OriginMode } from "../origin.ts";
import type { Scenario, Stage } from "../scenario.ts";
import { STANDARD } from "../setup.ts";

const BAD_PAGES = 40;
const BAD_INTERVAL_MS = 250;

async function failing(stage: Stage, mode: OriginMode): Promise<void> {
  const { origin } = stage.rig;
  await origin.setMode(mode);
  await sleep(stage.seconds * 1_000);
  await origin.setMode("well");
}

/** One client asks for pages that always fail, beside those that the others ask for. */
async function badPages(stage: Stage): Promise<void> {
  const line = `get ${Array.from({ length: BAD_PAGES }, (_, i) => `page/bad:${i}`).join(" ")}\r\n`;
  const endMs = performance.now() + stage.seconds * 1_000;
  await Crowd.of(async (crowd) => {
    const { socket } = await crowd.join(stage.rig.port);
    while (performance.now() < endMs) {
      socket.write(line);
      await sleep(BAD_INTERVAL_MS);
    }
  });
}

const MODES: readonly (readonly [mode: OriginMode, title: string])[] = [
  ["hangs", "a source hangs"],
  ["resets", "a source resets connections"],
  ["fails", "a source answers 500"],
  ["slow", "a source takes 5 s, with a time-out of 2 s"],
  ["too-large", "a source answers 4 MiB, with max_body = 1 MiB"],
];

export const sources: readonly Scenario[] = [
  {
    name: "bad-pages",
    title: "a client asks for pages that fail beside good ones",
    setup: STANDARD,
    allows: [],
    touches: "source",
    run: badPages,
  },
  ...MODES.map(
    ([mode, title]): Scenario => ({
      name: `source-${mode}`,
      title,
      setup: STANDARD,
      allows: ["missed fills"],
      touches: "source",
      run: (stage) => failing(stage, mode),
    }),
  ),
];
