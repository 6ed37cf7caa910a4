/** Connections that are taken and not used, and descriptors that run out. */
import { setTimeout as sleep } from "node:timers/promises";
import { Crowd } from "../crowd.ts";
import type { Scenario, Stage } from "../scenario.ts";
import { type Setup, STANDARD } from "../setup.ts";

const GUARDED: Setup = { ...STANDARD, server: 'max_connections = 100\nfirst_byte_timeout = "2s"' };
/** Node itself needs about 30 of them. */
const FEW_DESCRIPTORS: Setup = { servers: 2, shell: "ulimit -n 120" };
const SILENT = 100;
const CROWD = 150;
const REJOIN_MS = 50;

/** They stay open at this end: only Platypus can make room. */
async function silent(stage: Stage, port: number): Promise<void> {
  const crowd = new Crowd();
  stage.later(() => crowd.leave());
  await crowd.joinMany(SILENT, port);
  stage.heals();
  await sleep(stage.seconds * 1_000);
}

/** Clients take all descriptors that there are, while a server is away and comes back. */
async function fewDescriptors(stage: Stage): Promise<void> {
  const { rig } = stage;
  const crowd = new Crowd();
  let isOver = false;
  const joining = (async () => {
    while (!isOver) {
      await crowd.joinMany(CROWD, rig.port);
      await sleep(REJOIN_MS);
    }
  })();
  stage.later(async () => {
    isOver = true;
    await joining;
    crowd.leave();
  });
  await rig.servers[0]!.stop();
  await sleep(stage.seconds * 1_000);
  await rig.restartServer(0);
}

export const connections: readonly Scenario[] = [
  {
    name: "silent-tcp",
    title: "100 silent connections, max_connections = 100",
    setup: GUARDED,
    allows: ["refusals"],
    touches: null,
    run: (stage) => silent(stage, stage.rig.port),
  },
  {
    name: "silent-tls",
    title: "the same on the TLS address",
    setup: GUARDED,
    allows: ["refusals"],
    touches: null,
    skipped: (isShort) => (isShort ? "a TLS handshake may take 10 s" : null),
    run: (stage) => silent(stage, stage.rig.tlsPort),
  },
  {
    name: "descriptors",
    title: "ulimit -n 120: clients take all, a memcached restarts",
    setup: FEW_DESCRIPTORS,
    allows: ["failures", "missed fills"],
    touches: null,
    run: fewDescriptors,
  },
];
