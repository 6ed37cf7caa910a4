/**
 * The tables of settings as a JSON Schema (draft 2020-12) of Platypus' TOML file, for editors: config/platypus.schema.json. It is
 * wider than `platypus check`: the bounds of durations and sizes are in the descriptions only.
 */
import { describeType, type Setting, type Settings, type SettingType } from "../../src/config/setting.ts";
import {
  awsPoolSettings,
  listenSettings,
  poolSettings,
  routeSettings,
  ruleSettings,
  serverSettings,
  targetSettings,
  telemetrySettings,
  userSettings,
} from "../../src/config/settings.ts";
import { fileTypes, sourceTypes } from "../../src/sources/types.ts";

type Schema = Readonly<Record<string, unknown>>;

/** The schema as text. */
export function renderSchema(): string {
  const schema = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Platypus",
    description: "Configuration of Platypus, a memcached proxy that fills its own misses.",
    type: "object",
    properties: {
      server: section(serverSettings, "Where clients connect, and what holds for all of them."),
      telemetry: section(telemetrySettings, "OpenTelemetry."),
      target: section(targetSettings, "The memcached servers."),
      pool: named(section({ ...poolSettings, ...awsPoolSettings }, "A pool, or a connection to AWS Secrets Manager.")),
      route: {
        type: "array",
        items: section(
          routeSettings,
          "Some keys, and their way to the pools. The first route that takes a key applies.",
        ),
      },
      get: named(section(ruleSettings, "A rule: which keys are filled, from where, and for how long.")),
      source: named(sourceSchema()),
      user: named(section(userSettings, "A user: without users clients need no login.")),
      listen: named(section(listenSettings, "Addresses with options of their own.")),
    },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function named(schema: Schema): Schema {
  return { type: "object", additionalProperties: schema };
}

function section(settings: Settings, description: string): Schema {
  return { type: "object", description, properties: properties(settings), additionalProperties: false };
}

/** One schema for all types, so that an editor offers every setting of a source. Types may have different settings of one name. */
function sourceSchema(): Schema {
  const common = section(sourceTypes.settings, "A source of values.");
  const byKey = Map.groupBy(
    fileTypes.flatMap(({ settings }) => Object.entries(properties(settings))),
    ([key]) => key,
  );
  const own = [...byKey].map(([key, entries]) => {
    const schemas = [...new Map(entries.map(([, schema]) => [JSON.stringify(schema), schema])).values()];
    return [key, schemas.length === 1 ? schemas[0] : { anyOf: schemas }] as const;
  });
  return {
    ...common,
    required: ["type"],
    properties: { ...(common.properties as Record<string, Schema>), ...Object.fromEntries(own) },
  };
}

function properties(settings: Settings): Record<string, Schema> {
  const all = Object.entries<Setting>(settings).flatMap(([key, row]) =>
    [key, ...(row.synonyms ?? [])].map((name) => [name, property(row)] as const),
  );
  const outer = all.filter(([name]) => !name.includes("."));
  const inner = Map.groupBy(
    all.filter(([name]) => name.includes(".")),
    ([name]) => name.split(".")[0]!,
  );
  const tables = [...inner].map(([table, entries]) => {
    const own = Object.fromEntries(entries.map(([name, schema]) => [name.slice(table.length + 1), schema]));
    return [table, { type: "object", properties: own, additionalProperties: false }] as const;
  });
  return Object.fromEntries<Schema>([...outer, ...tables]);
}

function property({ type, default: value, meaning }: Setting): Schema {
  const bounds = "min" in type ? ` Takes ${describeType(type)}.` : "";
  const description = `${meaning.replaceAll("`", "")}${bounds}`;
  return { ...typeSchema(type), description, ...(value !== null && { default: value }) };
}

function typeSchema(type: SettingType): Schema {
  switch (type.kind) {
    case "duration":
      return { type: "string", pattern: DURATION };
    case "ttl":
      return { type: "string", pattern: `${DURATION}|^source$` };
    case "size":
      return { anyOf: [{ type: "string", pattern: "^\\d+([KMG]iB)?$" }, { type: "integer" }] };
    case "integer":
      return { type: "integer", minimum: type.min, maximum: type.max };
    case "count":
      return { anyOf: [{ type: "integer", minimum: type.min, maximum: type.max }, { const: "auto" }] };
    case "number":
      return { type: "number", minimum: type.min, maximum: type.max };
    case "boolean":
      return { type: "boolean" };
    case "text":
    case "template":
      return { type: "string" };
    case "list": {
      const entry = type.takesNumbers ? { type: ["string", "integer"] } : { type: "string" };
      return { anyOf: [entry, { type: "array", items: entry }] };
    }
    case "texts":
    case "templates":
      return { type: "object", additionalProperties: { type: "string" } };
    case "parts":
      return { type: "array", items: { type: "object" }, minItems: 1 };
    case "choice":
      return { enum: type.choices };
    case "function":
      throw new Error("a file cannot hold a function");
  }
}

const DURATION = "^(?=\\d)(\\d+d)?(\\d+h)?(\\d+m(?!s))?(\\d+s)?(\\d+ms)?$";
