/**
 * The layers of a native configuration: file, environment, command line. Later layers override earlier ones. The result
 * is sections of unchecked values with their positions. The settings table defines how text of the later layers is
 * read.
 */

import { parse } from "toml";
import { translateOriginal } from "./dialects/original.ts";
import type { TomlLines, TomlPath } from "./locate.ts";
import { suggestion } from "./nearest-name.ts";
import { describeValue, type Found, isTable, type Place, type Problems, type Section } from "./section.ts";
import type { Settings, SettingType } from "./setting.ts";
import { environmentName, type SectionKind, type SettingsByKind } from "./settings.ts";

/** Input of all layers. */
export interface LayerInput {
  /** The path as the user wrote it. `null` if there is no file; then the document is empty. */
  readonly file: string | null;
  readonly document: Readonly<Record<string, unknown>>;
  readonly lines: TomlLines;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Full key path ("server.listen", "get.quickstart.ttl") → text in the form of an environment variable. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly settings: SettingsByKind;
}

/** Sections by kind; named sections are in file order. */
export interface Layers {
  readonly server: Section;
  readonly telemetry: Section;
  /** `null` if no layer sets it. */
  readonly target: Section | null;
  readonly pools: ReadonlyMap<string, Section>;
  /** By their index in the file, from "0". */
  readonly routes: ReadonlyMap<string, Section>;
  readonly rules: ReadonlyMap<string, Section>;
  readonly sources: ReadonlyMap<string, Section>;
  readonly users: ReadonlyMap<string, Section>;
  readonly listeners: ReadonlyMap<string, Section>;
}

interface LayeredSection extends Section {
  readonly kind: SectionKind;
  /** `null` for a section without a name. */
  readonly name: string | null;
  readonly rows: Settings;
  readonly found: Map<string, Found>;
}

const singleKinds: readonly SectionKind[] = ["server", "telemetry", "target"];
const namedKinds: readonly SectionKind[] = ["pool", "get", "source", "user", "listen"];
/** Kinds of sections that are arrays of tables: `[[route]]`. */
const listedKinds: readonly SectionKind[] = ["route"];
const namePattern = /^[A-Za-z0-9_-]{1,64}$/;
/** A user name may be the common name of a certificate, such as a host name. */
const userNamePattern = /^[A-Za-z0-9._@-]{1,64}$/;
/** Variables that Kubernetes sets for services named "platypus", "platypus-server" and similar. */
const serviceLink = /_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_\d+_(TCP|UDP)(_.*)?)$/;

/** Applies the environment and the command line to the file. An override without a matching setting is a problem. */
export function readLayers(given: LayerInput, problems: Problems): Layers {
  const { document, originOf, unused } = translateOriginal(given.document);
  for (const path of unused) {
    const place = { file: given.file, line: given.lines.lineOf(path), path: path.join(".") };
    problems.warn(place, "has no effect: a group of routes has routes and a prefix");
  }
  const input = { ...given, document, lines: { lineOf: (path: TomlPath) => given.lines.lineOf(originOf(path)) } };
  const sections = fileSections(input, problems);
  applyEnvironment(input.env, sections, problems);
  applyOverrides(input.overrides, sections, problems);
  const named = (kind: SectionKind) =>
    new Map(sections.flatMap((each) => (each.kind === kind && each.name !== null ? [[each.name, each]] : [])));
  const target = sections.find(({ kind }) => kind === "target")!;
  return {
    server: sections.find(({ kind }) => kind === "server")!,
    telemetry: sections.find(({ kind }) => kind === "telemetry")!,
    target: "target" in input.document || target.found.size > 0 ? target : null,
    pools: named("pool"),
    routes: named("route"),
    rules: named("get"),
    sources: named("source"),
    users: named("user"),
    listeners: named("listen"),
  };
}

/** The sections without a name, also if the file lacks them, and each named section of the file. */
function fileSections(input: LayerInput, problems: Problems): LayeredSection[] {
  const { file, document, lines } = input;
  const placeOf = (path: TomlPath): Place => ({ file, line: lines.lineOf(path), path: pathText(path) });
  const sectionOf = (kind: SectionKind, name: string | number | null, value: unknown): LayeredSection => {
    const path = name === null ? [kind] : [kind, name];
    const found = new Map<string, Found>();
    const rows = input.settings[kind];
    const add = (keys: readonly string[], each: unknown) => {
      const whole = [...path, ...keys];
      const entry = (inner: string | number) => placeOf([...whole, inner]);
      found.set(keys.join("."), { value: each, place: placeOf(whole), entry });
    };
    if (isTable(value)) {
      for (const [key, each] of Object.entries(value)) {
        const inner = isTable(each) && isInnerTable(rows, key) ? Object.entries(each) : [];
        for (const [name, one] of inner) add([key, name], one);
        if (inner.length === 0) add([key], each);
      }
    } else if (value !== undefined) {
      problems.add(placeOf(path), `expected a section [${pathText(path)}], got ${describeValue(value)}`);
    }
    return { kind, name: name === null ? null : String(name), rows, place: placeOf(path), found };
  };

  reportUnknownSections(document, placeOf, problems);
  const sections = singleKinds.map((kind) => sectionOf(kind, null, document[kind]));
  for (const kind of namedKinds) {
    const value = document[kind] ?? {};
    if (!isTable(value)) {
      problems.add(placeOf([kind]), `expected sections [${kind}.NAME], got ${describeValue(value)}`);
      continue;
    }
    for (const [name, inner] of Object.entries(value)) {
      if (!isTable(inner)) {
        problems.add(placeOf([kind, name]), `expected a section [${kind}.NAME] around it, got ${describeValue(inner)}`);
      } else if (!(kind === "user" ? userNamePattern : namePattern).test(name)) {
        const letters = kind === "user" ? "-, _, . and @" : "- and _";
        problems.add(placeOf([kind, name]), `expected a name of at most 64 letters, digits, ${letters}`);
      } else {
        sections.push(sectionOf(kind, name, inner));
      }
    }
  }
  for (const kind of listedKinds) {
    const value = document[kind] ?? [];
    if (Array.isArray(value) && value.every(isTable)) {
      for (const [index, inner] of value.entries()) sections.push(sectionOf(kind, index, inner));
    } else {
      problems.add(placeOf([kind]), `expected sections [[${kind}]], got ${describeValue(value)}`);
    }
  }
  // JavaScript puts integer keys first; the line numbers give the order of the file.
  return sections.sort((a, b) => (a.place.line ?? 0) - (b.place.line ?? 0));
}

/** True if rows such as `batch.url` belong to a table `key` inside the section. */
function isInnerTable(rows: Settings, key: string): boolean {
  return Object.keys(rows).some((row) => row.startsWith(`${key}.`));
}

/** A path in messages: `get.user.ttl`, `route[0].pool`. */
function pathText(path: TomlPath): string {
  return path.map((step, i) => (typeof step === "number" ? `[${step}]` : i === 0 ? step : `.${step}`)).join("");
}

function reportUnknownSections(
  document: LayerInput["document"],
  placeOf: (path: TomlPath) => Place,
  problems: Problems,
): void {
  const known = [...singleKinds, ...namedKinds, ...listedKinds];
  for (const [key, value] of Object.entries(document)) {
    if (known.some((kind) => kind === key)) continue;
    problems.add(
      placeOf([key]),
      isTable(value) ? `unknown section${suggestion(key, known)}` : "is in no section; expected [server], [get.NAME] …",
    );
  }
}

/** Applies PLATYPUS_… variables. An empty variable counts as unset. Named sections must be in the file. */
function applyEnvironment(env: LayerInput["env"], sections: readonly LayeredSection[], problems: Problems): void {
  const targets = new Map<string, { section: LayeredSection; key: string; type: SettingType }[]>();
  for (const section of sections) {
    for (const [key, { type }] of Object.entries(section.rows)) {
      const name = environmentName(section.kind, section.name, key);
      targets.set(name, [...(targets.get(name) ?? []), { section, key, type }]);
    }
  }
  const prefixes = [...singleKinds, ...namedKinds, ...listedKinds].map((kind) => `PLATYPUS_${kind.toUpperCase()}_`);
  for (const [given, text] of Object.entries(env).sort()) {
    // In the first Platypus, the target was in [server].
    const name = given.replace(/^PLATYPUS_SERVER_TARGET_(?=HOST$|PORT$)/, "PLATYPUS_TARGET_");
    if (text === undefined || text === "" || !prefixes.some((prefix) => name.startsWith(prefix))) continue;
    const place = { file: null, line: null, path: name };
    const [target, other] = targets.get(name) ?? [];
    if (target === undefined) {
      if (serviceLink.test(name)) continue;
      problems.add(
        place,
        `stands for no setting of a section of this configuration${suggestion(name, targets.keys())}`,
      );
    } else if (other !== undefined) {
      const [one, two] = [target, other].map(({ section, key }) => `${section.place.path}.${key}`);
      problems.add(place, `stands for both ${one} and ${two}; rename one of the sections`);
    } else {
      set(target.section, target.key, target.type, text, name);
    }
  }
}

function applyOverrides(
  overrides: LayerInput["overrides"],
  sections: readonly LayeredSection[],
  problems: Problems,
): void {
  for (const [path, text] of Object.entries(overrides)) {
    const section = sections.find((each) => path.startsWith(`${each.place.path}.`));
    const key = path.slice((section?.place.path.length ?? path.lastIndexOf(".")) + 1);
    const rows = section?.rows ?? {};
    const row = Object.hasOwn(rows, key) ? rows[key] : undefined;
    if (section !== undefined && row !== undefined && path === `${section.place.path}.${key}`) {
      set(section, key, row.type, text, "command line");
    } else {
      problems.add(
        { file: null, line: null, path },
        "stands for no setting of a section of this configuration (command line)",
      );
    }
  }
}

/** Sets a value from text; it replaces the value of an earlier layer under any of the setting's names. */
function set(section: LayeredSection, key: string, type: SettingType, text: string, layer: string): void {
  for (const synonym of section.rows[key]?.synonyms ?? []) section.found.delete(synonym);
  // `servers` replaces `host` and `port`, and vice versa.
  const replaced = key === "servers" ? ["host", "port"] : key === "host" ? ["servers"] : [];
  for (const other of replaced) section.found.delete(other);
  const place = { file: null, line: null, path: `${section.place.path}.${key} (${layer})` };
  const entry = (inner: string | number) => ({ ...place, path: `${section.place.path}.${key}[${inner}] (${layer})` });
  section.found.set(key, { value: valueOfText(type, text), place, entry });
}

/** The value that a file would contain for `text`. Unsuitable text stays text; the reader reports it. */
export function valueOfText(type: SettingType, text: string): unknown {
  switch (type.kind) {
    case "boolean":
      return text === "true" ? true : text === "false" ? false : text;
    case "count":
    case "integer":
      return /^\d+$/.test(text) ? Number(text) : text;
    case "number":
      return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case "list":
      return text.split(",").map((entry) => entry.trim());
    case "texts":
    case "templates":
      try {
        return parse(`table = ${text}`).table;
      } catch {
        return text;
      }
    default:
      return text;
  }
}
