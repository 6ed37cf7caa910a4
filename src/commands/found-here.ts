/**
 * Finds programs on this host that Platypus can replace, for `platypus init`: mcrouter, twemproxy, a Rails application.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { StarterKind } from "./starter.ts";

/** A program for which a starter file can be made. */
export interface Found {
  readonly kind: StarterKind;
  /** Place where it was found, for messages. */
  readonly where: string;
  /** Options of a running mcrouter, or the options that name its configuration. */
  readonly options?: readonly string[];
  /** The configuration file of twemproxy. */
  readonly file?: string;
}

const TWEMPROXY_FILES = ["/etc/nutcracker/nutcracker.yml", "/etc/nutcracker.yml", "/etc/twemproxy/nutcracker.yml"];
const MCROUTER_FILES = ["/etc/mcrouter/mcrouter.conf", "/etc/mcrouter/mcrouter.json", "/etc/mcrouter/config.json"];

/**
 * Running programs first, then files in their usual places, then the application in `folder`. `root` is `/`, except in
 * tests.
 */
export function foundHere(folder: string, root = "/"): Found[] {
  const running = commandLines(join(root, "proc")).flatMap(ofCommandLine);
  const mcrouter = MCROUTER_FILES.filter((file) => existsSync(join(root, file))).map(
    (file): Found => ({ kind: "mcrouter", where: file, options: ["-p", "11211", "-f", file] }),
  );
  const twemproxy = TWEMPROXY_FILES.filter((file) => existsSync(join(root, file))).map(
    (file): Found => ({ kind: "twemproxy", where: file, file }),
  );
  const gemfile = join(folder, "Gemfile");
  const isRails = existsSync(gemfile) && /^\s*gem\s+["']rails["']/m.test(readFileSync(gemfile, "utf8"));
  const rails: Found[] = isRails ? [{ kind: "rails", where: gemfile }] : [];
  return [...running, ...mcrouter, ...twemproxy, ...rails];
}

function ofCommandLine(words: readonly string[]): Found[] {
  const [program = "", ...options] = words;
  const name = program.split("/").at(-1);
  if (name === "mcrouter") return [{ kind: "mcrouter", where: "a running mcrouter", options }];
  if (name !== "nutcracker") return [];
  const at = options.findIndex((option) => option === "-c" || option === "--conf-file");
  const file = at < 0 ? "conf/nutcracker.yml" : options[at + 1];
  return file === undefined ? [] : [{ kind: "twemproxy", where: "a running nutcracker", file }];
}

/** Command lines of all readable processes. */
function commandLines(proc: string): string[][] {
  if (!existsSync(proc)) return [];
  return readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [
          readFileSync(join(proc, pid, "cmdline"), "utf8")
            .split("\0")
            .filter(Boolean),
        ];
      } catch {
        // The process has ended, or belongs to another user.
        return [];
      }
    });
}
