/** The settings table as a page for people: docs/configuration.md is this text. */

import type { Setting, Settings, SettingType } from "../../src/config/setting.ts";
import {
  awsPoolSettings,
  environmentName,
  listenSettings,
  poolSettings,
  ruleSettings,
  type SectionKind,
  serverSettings,
  targetSettings,
  telemetrySettings,
  userSettings,
} from "../../src/config/settings.ts";
import { formatDuration, formatSize } from "../../src/config/units.ts";
import { commonSettings } from "../../src/sources/read.ts";
import { fileTypes } from "../../src/sources/types.ts";

/** A group of settings as the page shows it. */
interface ReferenceSection {
  readonly title: string;
  readonly about: string;
  readonly kind: SectionKind;
  readonly settings: Settings;
}

const introduction = `# Configuration

<!-- Written by scripts/write-config-reference.mjs from the tables of settings in src/config/settings.ts and src/sources; change it there. -->

Platypus reads one TOML file. Every setting can also be given by an environment variable, which wins over the file;
lists stand there with commas between their entries, tables as TOML (\`{ Accept = "text/plain" }\`). An empty variable
counts as unset. Variables of \`[pool.NAME]\`, \`[get.NAME]\`, \`[source.NAME]\`, \`[user.NAME]\` and \`[listen.NAME]\` hold the name in capitals with \`_\` for
\`-\`, and the section must be in the file.

Durations are written \`250ms\`, \`30s\`, \`5m\`, \`2h\`, \`1d\` or together (\`1m30s\`), in quotes; sizes \`"64KiB"\`, \`"1MiB"\`,
\`"2GiB"\` or a plain number of bytes. In templates \`{key}\` is the whole key, \`{1}\` the first capture of the rule's
\`match\` and \`{name}\` a named one; \`%(name)\` and \`{$key}\` say the same.
`;

const sections: readonly ReferenceSection[] = [
  { title: "`[server]`", about: "This process.", kind: "server", settings: serverSettings },
  {
    title: "`[telemetry]`",
    about: "OpenTelemetry: see [metrics.md](metrics.md).",
    kind: "telemetry",
    settings: telemetrySettings,
  },
  {
    title: "`[user.NAME]`",
    about: "Who may log in. Without users clients need no login: see [deployment.md](deployment.md#users).",
    kind: "user",
    settings: userSettings,
  },
  {
    title: "`[listen.NAME]`",
    about:
      "Options of addresses. An address that is not in `listen` of `[server]` is added to it; if only these sections name addresses, the default of `listen` does not apply.",
    kind: "listen",
    settings: listenSettings,
  },
  {
    title: "`[target]`",
    about: "The pool of memcached servers. Without it and without a `[pool.NAME]` a store in this process serves.",
    kind: "target",
    settings: targetSettings,
  },
  {
    title: "`[pool.NAME]`",
    about: "The same with a name; at most one, and not beside `[target]`.",
    kind: "pool",
    settings: poolSettings,
  },
  {
    title: '`[pool.NAME]` with `type = "aws_secrets_manager"`',
    about: "A way to AWS Secrets Manager that sources share. It serves no keys itself, and there may be many.",
    kind: "pool",
    settings: awsPoolSettings,
  },
  {
    title: "`[get.NAME]`",
    about: "A rule: which keys are filled, from where, and for how long. Rules are tried in file order.",
    kind: "get",
    settings: ruleSettings,
  },
  {
    title: "`[source.NAME]`",
    about: "Where values come from. These settings go with every type.",
    kind: "source",
    settings: commonSettings(fileTypes.flatMap(({ names }) => names)),
  },
  ...fileTypes.map(({ names, about, settings }) => {
    const types = names.map((name) => `\`type = "${name}"\``).join(" or ");
    return { title: `\`[source.NAME]\` with ${types}`, about, kind: "source", settings } as const;
  }),
];

/** The whole page in Markdown. */
export function renderReference(): string {
  return [introduction, ...sections.map(renderSection)].join("\n");
}

function renderSection({ title, about, kind, settings }: ReferenceSection): string {
  const name = kind === "server" || kind === "telemetry" || kind === "target" ? null : "<NAME>";
  const rows = Object.entries<Setting>(settings).map(([key, setting]) => {
    const cells = [
      [key, ...(setting.synonyms ?? [])].map(code).join(", "),
      shortType(setting.type),
      setting.isRequired === true ? "required" : defaultText(setting),
      code(environmentName(kind, name, key)),
      setting.meaning,
    ];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  const head = "| Setting | Type | Default | Environment | Meaning |\n| --- | --- | --- | --- | --- |";
  return `## ${title}\n\n${about}\n\n${head}\n${rows.join("\n")}\n`;
}

function code(text: string): string {
  return `\`${text}\``;
}

/** The default as it would stand in the file. */
function defaultText({ default: value }: Setting): string {
  if (value === null) return "";
  return typeof value === "object" && Object.keys(value).length === 0 ? "none" : code(JSON.stringify(value));
}

function shortType(type: SettingType): string {
  switch (type.kind) {
    case "duration":
      return `duration, ${formatDuration(type.min)} to ${formatDuration(type.max)}`;
    case "ttl":
      return `duration, ${formatDuration(type.min)} to ${formatDuration(type.max)}, or \`"source"\``;
    case "size":
      return `size, ${formatSize(type.min)} to ${formatSize(type.max)}`;
    case "count":
      return `integer, ${type.min} to ${type.max}, or ${code('"auto"')}`;
    case "integer":
      return `integer, ${type.min} to ${type.max}`;
    case "text":
      return "string";
    case "list":
      return "string or list";
    case "number":
      return `number, ${type.min} to ${type.max}`;
    case "texts":
      return "table of strings";
    case "templates":
      return "table of templates";
    case "parts":
      return "list of parts";
    case "choice":
      return type.choices.map((each) => code(JSON.stringify(each))).join(", ");
    default:
      return type.kind;
  }
}
