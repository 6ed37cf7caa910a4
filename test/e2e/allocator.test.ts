/** The C library's settings of a process with a bound on its memory. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

/** The variables of a running process, as the kernel shows what it began with. */
function environmentOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
}

async function start(context: { onTestFinished(step: () => unknown): void }, server: string, shell = "") {
  const platypus = await PlatypusProcess.start(`[server]\nlisten = "127.0.0.1:0"\n${server}\n`, shell);
  context.onTestFinished(() => platypus.stop());
  return platypus;
}

describe("a process with max_memory", () => {
  it("returns freed memory to the system, and serves under the initial process ID", async (context) => {
    const platypus = await start(context, 'max_memory = "256MiB"');
    expect(environmentOf(platypus.child.pid!)).toContain("MALLOC_MMAP_THRESHOLD_=65536");
    const client = await TextClient.connect(platypus.port);
    context.onTestFinished(() => client.close());
    expect(await client.ask("set a 0 0 1\r\nv")).toBe("STORED\r\n");
    // Whatever the first process image did must not be said twice, or be a warning.
    expect(platypus.stderr.match(/listens on/g)).toHaveLength(1);
    expect(platypus.stderr).not.toMatch(/warning/i);
  });

  it("starts workers with the same settings", async (context) => {
    const platypus = await start(context, 'max_memory = "256MiB"\nworkers = 2\n[target]\nservers = ["127.0.0.1:1"]');
    const children = readFileSync(`/proc/${platypus.child.pid}/task/${platypus.child.pid}/children`, "utf8");
    const workers = children.trim().split(" ").map(Number);
    expect(workers).toHaveLength(2);
    for (const pid of workers) expect(environmentOf(pid)).toContain("MALLOC_MMAP_THRESHOLD_=65536");
  });

  it("keeps the operator's settings", async (context) => {
    const platypus = await start(context, 'max_memory = "256MiB"', "export MALLOC_ARENA_MAX=4");
    const variables = environmentOf(platypus.child.pid!);
    expect(variables).toContain("MALLOC_ARENA_MAX=4");
    expect(variables).not.toContain("MALLOC_MMAP_THRESHOLD_=65536");
  });
});

it("a process without max_memory keeps the C library's own settings", async (context) => {
  const platypus = await start(context, "");
  expect(environmentOf(platypus.child.pid!).filter((each) => each.startsWith("MALLOC_"))).toEqual([]);
});
