/** What the command line says of itself: help, mistakes, colours. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { COMMANDS } from "../../src/commands/invocation.ts";
import { run } from "../../src/commands/run.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const QUICKSTART = fileURLToPath(new URL("../../config/quickstart.toml", import.meta.url));
/** Runs a program on a terminal, its output passed on. */
const ON_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
const RED = "\x1b[31m";

let folder: string;
let bad: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-help-"));
  bad = path.join(folder, "bad.toml");
  await writeFile(bad, "[server]\nlissen = 1\n");
});

afterAll(() => rm(folder, { recursive: true }));

async function ended(args: readonly string[]) {
  const platypus = PlatypusProcess.run(args);
  const code = await platypus.exit();
  const { stdout, stderr } = platypus;
  return { code, stdout, stderr };
}

/** What a command line prints to stdout, within this process: a start for each command would take long. */
async function printed(args: readonly string[]): Promise<string> {
  let text = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((piece) => {
    text += String(piece);
    return true;
  });
  try {
    await run(args);
  } finally {
    write.mockRestore();
  }
  return text;
}

/** What is seen on a terminal, and the exit code. */
function onTerminal(args: readonly string[], variables: Record<string, string> = {}) {
  // As on a person's machine: on one of a CI Node sees no colours.
  const { PATH, HOME } = process.env;
  const program = ["-c", ON_TERMINAL, process.execPath, MAIN, ...args];
  return new Promise<{ code: number; output: string }>((resolve) => {
    execFile("python3", program, { env: { PATH, HOME, TERM: "xterm", ...variables } }, (error, output) => {
      resolve({ code: error === null ? 0 : Number(error.code), output });
    });
  });
}

describe("--help", () => {
  it.each(COMMANDS)("of %s has examples to copy and the exit codes", async (command) => {
    const stdout = await printed([command, "--help"]);
    expect(
      stdout.match(new RegExp(`^  platypus ${command === "serve" ? "" : command}.*$`, "gm"))!.length,
    ).toBeGreaterThan(1);
    expect(stdout).toContain("Exit codes: 0");
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(125);
  });

  it("lists all commands if it has no command", async () => {
    const { stdout } = await ended(["--help"]);
    for (const command of COMMANDS.filter((each) => each !== "serve")) expect(stdout).toContain(`platypus ${command}`);
  });
});

describe("a command line mistake", () => {
  it.each([
    [["chek", "p"], 'there is no command chek; did you mean "check"?', "platypus --help"],
    [["dance"], "there is no command dance; there are serve, init, check", "platypus --help"],
    [["p.toml"], "a configuration is given by --config: platypus --config p.toml", "platypus --help"],
    [["--confg", "p.toml"], 'there is no option --confg; did you mean "--config"?', "platypus --help"],
    [
      ["check", "a.toml", "--rulez", "b"],
      'there is no option --rulez; did you mean "--rules"?',
      "platypus check --help",
    ],
    [["explain", "k", "--fech"], 'there is no option --fech; did you mean "--fetch"?', "platypus explain --help"],
    [
      ["simulate", "--proceses=2"],
      'there is no option --proceses; did you mean "--processes"?',
      "platypus simulate --help",
    ],
    [
      ["replay-asynclog", "--dryrun"],
      'there is no option --dryrun; did you mean "--dry-run"?',
      "platypus replay-asynclog --help",
    ],
    [["check"], "check takes one file: platypus check FILE", "platypus check --help"],
    [["--config"], "'--config <value>' argument missing", "platypus --help"],
  ])("is reported in a sentence, with the fix: %j", async (args, sentence, help) => {
    const { code, stdout, stderr } = await ended(args);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(sentence);
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[1]).toBe(`${help} lists what there is`);
  });
});

describe("colours", () => {
  it("highlight errors and log levels on a terminal", async () => {
    const check = await onTerminal(["check", bad]);
    expect(check.code).toBe(2);
    expect(check.output).toContain(`${RED}1 problem found`);
    expect((await onTerminal(["check", QUICKSTART])).output).toContain("\x1b[32mno problems");
    const log = await onTerminal(["-p", "0", "-f", bad, "--odd", "--validate-config=run"]);
    expect(log.output).toContain("\x1b[33mwarn \x1b[39m options: unknown option --odd");
  });

  it("are absent with NO_COLOR", async () => {
    const { code, output } = await onTerminal(["check", bad], { NO_COLOR: "1" });
    expect([code, output.includes("1 problem found"), output.includes("\x1b[")]).toEqual([2, true, false]);
  });

  it("are never written to a pipe", async () => {
    const { stderr } = await ended(["check", bad]);
    expect(stderr).toContain("1 problem found");
    expect(stderr).not.toContain("\x1b");
  });
});
