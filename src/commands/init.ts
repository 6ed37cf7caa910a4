/**
 * `platypus init`: writes a commented starter configuration.
 */
import { writeFile } from "node:fs/promises";
import { UsageError } from "../errors.ts";
import { loadConfig } from "../server/load-config.ts";
import { type Found, foundHere } from "./found-here.ts";
import { parseOptions } from "./options.ts";
import {
  mcrouterStarter,
  poolStarter,
  railsStarter,
  type StarterKind,
  starterKinds,
  twemproxyStarter,
} from "./starter.ts";

export const INIT_HELP = `platypus init [FILE] [--for KIND] [--servers LIST]: write a commented starter configuration

  platypus init                                       for the programs found on this host, as platypus.toml
  platypus init --for pool --servers 10.0.0.1:11211,10.0.0.2:11211
  platypus init --for rails config/platypus.toml
  platypus init --for twemproxy --from /etc/nutcracker.yml
  platypus init --print                               print it instead of writing a file

  --for KIND           pool, rails, mcrouter or twemproxy; default: what is found (a running mcrouter or nutcracker, their
                       files in /etc, a Gemfile with rails), else pool
  --from FILE          the configuration of mcrouter or twemproxy
  --servers LIST       the memcached servers, separated by commas (127.0.0.1:11211)
  --print              print the configuration instead of writing a file

An existing file is not overwritten.

Exit codes: 0 done, 1 the file could not be written, 2 wrong usage.
`;

/** Writes the file and prints the next steps. Throws a UsageError if it would overwrite a file. */
export async function init(args: readonly string[]): Promise<void> {
  const { file, kind, from, servers, isPrinted } = readOptions(args);
  const found = choose(kind, from);
  const text = await textFor(found, servers, file);
  if (isPrinted) {
    process.stdout.write(text);
    return;
  }
  try {
    await writeFile(file, text, { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new UsageError(`${file} exists and is not written over; name another file: platypus init other.toml`);
  }
  const why = found.where === "" ? "" : ` (found: ${found.where})`;
  process.stdout.write(`wrote ${file} for ${found.kind}${why}\n${nextSteps(found, file)}`);
}

function choose(kind: StarterKind | null, from: string | null): Found {
  if (from !== null) {
    if (kind === "twemproxy") return { kind, where: from, file: from };
    if (kind === "mcrouter") return { kind, where: from, options: ["-p", "11211", "-f", from] };
    throw new UsageError("--from goes with --for mcrouter or --for twemproxy");
  }
  const found = foundHere(process.cwd()).find((each) => kind === null || each.kind === kind);
  if (found !== undefined) return found;
  if (kind === "twemproxy")
    throw new UsageError("no twemproxy was found; name its file: platypus init --for twemproxy --from FILE");
  return { kind: kind ?? "pool", where: "" };
}

async function textFor({ kind, options, file: original }: Found, servers: readonly string[], file: string) {
  switch (kind) {
    case "pool":
      return poolStarter(servers, file);
    case "rails":
      return railsStarter(servers, file);
    case "mcrouter":
      return mcrouterStarter(options ?? ["-p", "11211", "-f", "/etc/mcrouter/mcrouter.json"], file);
    case "twemproxy": {
      const { pools } = await loadConfig({ path: original!, env: {} });
      return twemproxyStarter(pools, original!, file);
    }
  }
}

function nextSteps({ kind, options }: Found, file: string): string {
  if (kind === "mcrouter") {
    const line = [...(options ?? ["-p", "11211", "-f", "/etc/mcrouter/mcrouter.json"]), "--rules", file].join(" ");
    return `next: take the "#" off the rule in ${file}, then\n  platypus ${line}\n`;
  }
  return `next:\n  platypus check ${file}\n  platypus --config ${file}\n`;
}

function readOptions(args: readonly string[]) {
  const { values, positionals } = parseOptions(args, {
    for: { type: "string" },
    from: { type: "string" },
    servers: { type: "string" },
    print: { type: "boolean" },
  });
  const [file = "platypus.toml", ...others] = positionals;
  if (others.length > 0) throw new UsageError("init takes one file: platypus init [FILE]");
  const kind = starterKinds.find((each) => each === values.for) ?? null;
  if (values.for !== undefined && kind === null) {
    throw new UsageError(`--for: expected ${starterKinds.join(", ")}, got ${JSON.stringify(values.for)}`);
  }
  const servers = (values.servers ?? "127.0.0.1:11211").split(",").map((server) => server.trim());
  return { file, kind, from: values.from ?? null, servers, isPrinted: values.print ?? false };
}
