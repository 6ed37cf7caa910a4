/** The settings table as a file with every setting: config/platypus.toml is this text. */
import type { Setting, Settings } from "../../src/config/setting.ts";
import {
  awsPoolSettings,
  limitSettings,
  listenSettings,
  routeSettings,
  ruleDefaultSettings,
  ruleSettings,
  serverSettings,
  targetSettings,
  telemetrySettings,
  userSettings,
} from "../../src/config/settings.ts";
import type { SourceType } from "../../src/sources/source-type.ts";
import { fileTypes } from "../../src/sources/types.ts";

const WIDTH = 120;

const introduction = `# All settings of Platypus, with their defaults and meanings. Written by \`npm run docs\` from the tables of settings.
#
# Lines that begin with "#" and a letter or bracket are settings that are switched off. Remove the "#" to use them.
# Without a file, [server] has these defaults. docs/configuration.md has bounds and environment variables.
`;

/** A section as the file shows it. */
interface ExampleSection {
  readonly header: string;
  readonly about: readonly string[];
  /** The `type` of a source or a pool. */
  readonly type?: string;
  readonly settings: Settings;
  /** Settings that the file leaves out. */
  readonly without?: readonly string[];
}

/** How the file shows the types of sources. */
const sourceExamples: Readonly<Record<string, Omit<ExampleSection, "settings">>> = {
  http: {
    header: "source.web",
    about: [
      `A source. ${listed(Object.keys(ruleDefaultSettings))} may stand in a source as well, as defaults for its rules; timeout and the other limits go with every type.`,
    ],
  },
  file: { header: "source.files", about: [] },
  echo: { header: "source.echo", about: [] },
  merge: { header: "source.profile", about: [] },
  module: { header: "source.own", about: [] },
  awssm: { header: "source.secrets", about: [], without: ["region", "profile", "endpoint", "assume_role"] },
};

const sections: readonly ExampleSection[] = [
  {
    header: "user.example",
    about: ["A user: without users clients need no login. There may be many."],
    settings: userSettings,
  },
  {
    header: "listen.example",
    about: ["Options of addresses, which are added to listen of [server]. There may be many."],
    settings: listenSettings,
  },
  {
    header: "telemetry",
    about: ["OpenTelemetry. What is left out is taken from its own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT."],
    settings: telemetrySettings,
  },
  {
    header: "target",
    about: [
      "The memcached servers. Without this section, and without a [pool.NAME], a store in this process serves.",
      '[pool.NAME] takes the same settings and a type, "memcached"; use one [target], or [pool.NAME] for each pool.',
      'For a single server, host = "10.0.0.1" and port = 11211 say the same as servers.',
    ],
    settings: targetSettings,
    without: ["host", "port"],
  },
  {
    header: "[route]",
    about: [
      "Some keys, and their way to the pools. There may be many; the first that takes a key applies. docs/pools.md has examples.",
    ],
    settings: routeSettings,
    without: ["match", "replicas", "read"],
  },
  {
    header: "get.example",
    about: [
      "A rule: which keys are filled, from where, and for how long. There may be many; the first that matches wins.",
    ],
    settings: ruleSettings,
  },
  ...sourceTypesAsShown().map(({ names, about, settings }, index) => {
    const [type, ...aliases] = names;
    const shown = sourceExamples[type] ?? { header: `source.${type}`, about: [] };
    const same = aliases.map((alias) => `type = "${alias}" says the same.`);
    return {
      ...shown,
      about: [...shown.about, [about.replace(/ See \[.*$/, ""), ...same].join(" ")],
      type,
      settings: index === 0 ? { ...limitSettings, ...settings } : settings,
    };
  }),
  {
    header: "pool.aws",
    about: ["A connection to AWS Secrets Manager that sources share. It serves no keys itself, and there may be many."],
    type: "aws_secrets_manager",
    settings: awsPoolSettings,
    without: ["type"],
  },
];

/** In the order of their examples; the others behind them. */
function sourceTypesAsShown(): SourceType[] {
  const order = Object.keys(sourceExamples);
  const placeOf = ({ names }: SourceType) => (order.includes(names[0]) ? order.indexOf(names[0]) : order.length);
  return [...fileTypes].sort((a, b) => placeOf(a) - placeOf(b));
}

/** The whole file. */
export function renderSettingsFile(): string {
  const server = renderSection({ header: "server", about: [], settings: serverSettings }, isShownOn);
  return [introduction, server, ...sections.map((section) => renderSection(section, () => false))].join("\n");
}

/** A setting of `[server]` that may stand there as it is. The default of `admin` is one that gives way if it is taken. */
function isShownOn(key: string, { default: value }: Setting): boolean {
  return value !== null && key !== "admin";
}

function renderSection(
  { header, about, type, settings, without = [] }: ExampleSection,
  isOn: (key: string, row: Setting) => boolean,
): string {
  const lines = about.flatMap(comment);
  lines.push(`${header === "server" ? "" : "#"}[${header}]`);
  if (type !== undefined) lines.push(`#type = ${toml(type)}`);
  for (const [key, row] of Object.entries<Setting>(settings)) {
    if (without.includes(key) || row.noEffect !== undefined) continue;
    lines.push(...comment(meaningOf(row)), `${isOn(key, row) ? "" : "#"}${key} = ${toml(row.example ?? row.default)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** The meaning, with the choices and other names that it does not mention. */
function meaningOf({ meaning, type, synonyms = [] }: Setting): string {
  const text = meaning.replaceAll("`", "");
  const choices = type.kind === "choice" ? type.choices : [];
  const lists =
    choices.length > 1 && choices.some((choice) => !text.includes(choice)) ? ` One of ${choices.join(", ")}.` : "";
  return `${text}${lists}${synonyms.map((synonym) => ` ${synonym} says the same.`).join("")}`;
}

function comment(text: string): string[] {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ")) {
    if (line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = "#";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function toml(value: unknown): string {
  // A literal string needs no escapes.
  if (typeof value === "string" && value.includes('"') && !value.includes("'")) return `'${value}'`;
  if (Array.isArray(value)) return `[${value.map(toml).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, member]) => `${name} = ${toml(member)}`);
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}

function listed(words: readonly string[]): string {
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
