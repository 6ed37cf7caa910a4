/** Memcached servers that die, hang or lie. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Scenario, Stage } from "../scenario.ts";
import { type Setup, STANDARD } from "../setup.ts";

/** A lie that drops an answer is only noticed by a time-out. */
const LYING: Setup = {
  servers: 3,
  isLying: true,
  target: 'connections = 2\nserver_timeout = "50ms"\ntimeouts_until_tko = 1000000',
};

async function killed({ rig, seconds, random }: Stage): Promise<void> {
  const index = random.below(rig.servers.length);
  await rig.servers[index]!.stop();
  await sleep(seconds * 1_000);
  await rig.restartServer(index);
}

async function stopped({ rig, seconds, random }: Stage): Promise<void> {
  const server = random.pick(rig.servers);
  server.pause();
  await sleep(seconds * 1_000);
  server.resume();
}

async function lying({ rig, seconds, random }: Stage): Promise<void> {
  rig.setLying(random);
  await sleep(seconds * 1_000);
  rig.setLying(null);
}

export const servers: readonly Scenario[] = [
  {
    name: "server-killed",
    title: "a memcached is killed, and started again",
    setup: STANDARD,
    allows: ["failures", "missed fills"],
    touches: "servers",
    run: killed,
  },
  {
    name: "server-stopped",
    title: "a memcached is stopped (SIGSTOP), and resumed",
    setup: STANDARD,
    allows: ["failures", "missed fills"],
    touches: "servers",
    run: stopped,
  },
  {
    name: "lying",
    title: "servers that lie about one answer in ten",
    setup: LYING,
    allows: ["failures", "missed fills"],
    touches: null,
    run: lying,
  },
];
