/** The settings table as a page for people: docs/configuration.md is this text. */

import type { Setting, Settings, SettingType } from "../../src/config/setting.ts";
import {
  awsPoolSettings,
  environmentName,
  listenSettings,
  poolSettings,
  routeSettings,
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

Platypus reads one TOML file. [config/platypus.toml](../config/platypus.toml) has all settings with their defaults, and
[config/platypus.schema.json](../config/platypus.schema.json) is a JSON schema for editors. Check a file before you use it:

\`\`\`sh
platypus check FILE
\`\`\`

An environment variable can set each setting, and wins over the file.

| Value | In the file | In a variable |
| --- | --- | --- |
| duration | \`"250ms"\`, \`"30s"\`, \`"5m"\`, \`"2h"\`, \`"1d"\`, \`"1m30s"\` | the same without quotes |
| size | \`"64KiB"\`, \`"1MiB"\`, \`"2GiB"\`, or a number of bytes | the same without quotes |
| list | \`["a", "b"]\` | \`a,b\` |
| table | \`{ Accept = "text/plain" }\` | the same |

- An empty variable counts as unset.
- Variables of \`[pool.NAME]\`, \`[get.NAME]\`, \`[source.NAME]\`, \`[user.NAME]\` and \`[listen.NAME]\` contain the name in capitals, with \`_\` for \`-\`.
  Those of \`[[route]]\` contain its number in the file, from 0. The section must exist in the file.
- In templates, \`{key}\` is the whole key, \`{1}\` the first capture of the rule's \`match\`, and \`{name}\` a named capture. \`%(name)\` and \`{$key}\` are
  older spellings.
`;

const sections: readonly ReferenceSection[] = [
  { title: "`[server]`", about: "Settings of the process.", kind: "server", settings: serverSettings },
  {
    title: "`[telemetry]`",
    about: "OpenTelemetry: see [metrics.md](metrics.md) and [traces-and-logs.md](traces-and-logs.md).",
    kind: "telemetry",
    settings: telemetrySettings,
  },
  {
    title: "`[user.NAME]`",
    about: "Users that may log in. Without users, clients need no login: see [deployment.md](deployment.md#users).",
    kind: "user",
    settings: userSettings,
  },
  {
    title: "`[listen.NAME]`",
    about:
      "Options of addresses. Addresses of these sections are added to `listen` of `[server]`. If only these sections name addresses, the default of `listen` does not apply.",
    kind: "listen",
    settings: listenSettings,
  },
  {
    title: "`[target]`",
    about: "The pool of memcached servers. Without it, and without a `[pool.NAME]`, an in-process store is used.",
    kind: "target",
    settings: targetSettings,
  },
  {
    title: "`[pool.NAME]`",
    about:
      "A pool of memcached servers with a name. There may be several, with [`[[route]]`](#route), and none together with `[target]`.",
    kind: "pool",
    settings: poolSettings,
  },
  {
    title: '`[pool.NAME]` with `type = "aws_secrets_manager"`',
    about: "A connection to AWS Secrets Manager that sources share. It serves no keys. There may be several.",
    kind: "pool",
    settings: awsPoolSettings,
  },
  {
    title: "`[[route]]`",
    about:
      "Some keys, and their way to the pools. The first route of the file that takes a key applies. The last route has neither `prefix` nor `match`, and takes all other keys. With one pool no route is needed. [pools.md](pools.md) has examples.",
    kind: "route",
    settings: routeSettings,
  },
  {
    title: "`[get.NAME]`",
    about:
      "A rule: which keys are filled, from which source, and for how long. The first matching rule of the file applies.",
    kind: "get",
    settings: ruleSettings,
  },
  {
    title: "`[source.NAME]`",
    about: "A source of values. All types have these settings.",
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
  const isAlone = kind === "server" || kind === "telemetry" || kind === "target";
  const name = isAlone ? null : kind === "route" ? "<NUMBER>" : "<NAME>";
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
