/** Each example of examples/, run as its README says. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../src/server/load-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const folder = new URL("../../examples/", import.meta.url);
const needs: Readonly<Record<string, string>> = { rails: "/usr/bin/ruby", sidecar: "/usr/sbin/nutcracker" };
const shows: Readonly<Record<string, string>> = {
  rails: "read on until it is renewed:                   version 3 of",
  fleet: "another one finds the value in the pool: page /products/17",
  sidecar: "the same from memcached itself: page /users/42",
  library: "calls of the function: 1",
};

describe.skipIf(MemcachedProcess.isMissing)("the examples", () => {
  it.each(Object.keys(shows))("run with one command: %s", { timeout: 60_000 }, async (name) => {
    if (needs[name] !== undefined && !existsSync(needs[name])) return;
    const run = promisify(execFile)(process.execPath, [fileURLToPath(new URL("run.mjs", folder)), name]);
    const { stdout } = await run;
    expect(stdout).toContain(shows[name]);
  });

  it("are all named in the README", () => {
    const readme = readFileSync(new URL("README.md", folder), "utf8");
    for (const name of Object.keys(shows)) expect(readme).toContain(`npm run example ${name}`);
  });

  it.each(["rails", "fleet", "sidecar"])("have a configuration that loads: %s", async (name) => {
    const path = fileURLToPath(new URL(`${name}/platypus.toml`, folder));
    const { rules, sources } = await loadConfig({ path, env: {} });
    expect([rules.length, sources.length]).toEqual([1, 1]);
  });
});
