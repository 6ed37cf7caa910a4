/**
 * Starts the processes, servers and clients of an end-to-end test. Each of them stops after the test that started it, also
 * if the test fails: the last one first, after the `afterEach` hooks. Only tests and `beforeEach` hooks may call these
 * functions; what `beforeAll` starts, `afterAll` stops.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { onTestFinished } from "vitest";
import type { Config } from "../../../src/config/config.ts";
import { Platypus } from "../../../src/server/platypus.ts";
import { TextClient } from "../clients/text-client.ts";
import { HttpOrigin } from "../servers/http-origin.ts";
import { MemcachedProcess } from "../servers/memcached-process.ts";
import { nativeConfig } from "./native-config.ts";

/** Runs `step` after the test, before the steps that were registered earlier. */
export function afterTest(step: () => unknown): void {
  onTestFinished(async () => {
    await step();
  });
}

export async function startMemcached(
  options: Parameters<typeof MemcachedProcess.start>[0] = {},
): Promise<MemcachedProcess> {
  const memcached = await MemcachedProcess.start(options);
  afterTest(() => memcached.stop());
  return memcached;
}

export function startMemcacheds(count: number, args: readonly string[] = []): Promise<MemcachedProcess[]> {
  return Promise.all(Array.from({ length: count }, () => startMemcached({ args })));
}

export async function startOrigin(): Promise<HttpOrigin> {
  const origin = await HttpOrigin.start();
  afterTest(() => origin.close());
  return origin;
}

/** Platypus in this process. `config` may be TOML; then it listens on a free port. */
export async function startPlatypus(
  config: Config | string,
  options: Parameters<typeof Platypus.start>[1] = {},
): Promise<Platypus> {
  const platypus = await Platypus.start(typeof config === "string" ? nativeConfig(config) : config, options);
  afterTest(() => platypus.close());
  return platypus;
}

/** The port of the address at `index`. */
export function portOf(platypus: Platypus, index = 0): number {
  const address = platypus.addresses[index];
  if (address?.type !== "tcp") throw new Error(`address ${index} has no port`);
  return address.port;
}

/** A client of a Platypus, or of the server on a port of this machine. */
export async function connect(to: Platypus | number): Promise<TextClient> {
  const client = await TextClient.connect(typeof to === "number" ? to : portOf(to));
  afterTest(() => client.close());
  return client;
}

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
  afterTest(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
