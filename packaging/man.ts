/** The man page platypus(1), from the helps of the commands. Prints roff (man(7)). */
import { CHECK_HELP } from "../src/commands/check.ts";
import { COMPLETION_HELP } from "../src/commands/completion.ts";
import { EXPLAIN_HELP } from "../src/commands/explain.ts";
import { INIT_HELP } from "../src/commands/init.ts";
import { REPLAY_HELP } from "../src/commands/replay-asynclog.ts";
import { SERVE_HELP } from "../src/commands/serve.ts";
import { SIMULATE_HELP } from "../src/commands/simulate.ts";
import { packageVersion } from "../src/version.ts";

const helps = [SERVE_HELP, INIT_HELP, CHECK_HELP, EXPLAIN_HELP, SIMULATE_HELP, REPLAY_HELP, COMPLETION_HELP];

/** Text as it stands, line by line. */
function verbatim(text: string): string {
  const lines = text.trimEnd().split("\n");
  return [".nf", ...lines.map((line) => escaped(line)), ".fi"].join("\n");
}

function escaped(line: string): string {
  const text = line.replaceAll("\\", "\\e").replaceAll("-", "\\-");
  return /^[.']/.test(text) ? `\\&${text}` : text;
}

const commands = helps.map((help) => {
  const [first = "", ...rest] = help.split("\n");
  const [, usage, summary] = /^(.*?): (.*)$/.exec(first) ?? ["", first, ""];
  return `.SS "${escaped(usage!)}"\n${escaped(summary!)}\n${verbatim(rest.join("\n").replace(/^\n+/, ""))}`;
});

process.stdout.write(`.TH PLATYPUS 1 "" "Platypus ${packageVersion}" "User commands"
.SH NAME
platypus \\- a memcached proxy that fills its own misses
.SH SYNOPSIS
.B platypus
[\\fICOMMAND\\fR] [\\fIOPTIONS\\fR]
.SH DESCRIPTION
Platypus stands between memcached clients and a pool of memcached servers. When a get misses and matches a rule, it fetches the
value from a source, stores it, answers, and keeps it fresh while clients ask for it.
.PP
Under the name of
.B mcrouter
or
.B nutcracker
it reads the command line of that program.
.SH COMMANDS
${commands.join("\n")}
.SH FILES
.TP
.I /etc/platypus/platypus.toml
The configuration that the service reads.
.SH SEE ALSO
.BR memcached (1),
.BR nutcracker (8)
`);
