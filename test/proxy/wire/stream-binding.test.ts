import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const MODULE = new URL("../../../src/proxy/wire/stream-binding.ts", import.meta.url);
/** Whether there is a binding, and whether deprecated calls are as loud as before. */
const PROGRAM = `
  const before = process.noDeprecation;
  const { streamBinding } = await import(${JSON.stringify(MODULE.href)});
  console.log(streamBinding !== null, process.noDeprecation === before);
  setImmediate(() => console.log("lives"));
`;

describe("Node's binding", () => {
  it.each([
    { flags: ["--pending-deprecation", "--throw-deprecation"], isThere: true },
    { flags: ["--no-deprecation"], isThere: true },
    { flags: ["--permission", "--allow-fs-read=*"], isThere: false },
  ])("is looked up without a warning with $flags", async ({ flags, isThere }) => {
    const args = [...flags, "--input-type=module", "--eval", PROGRAM];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toBe(`${isThere} true\nlives\n`);
    expect(stderr).toBe("");
  });
});
