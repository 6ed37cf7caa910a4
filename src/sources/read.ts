/** `[source.NAME]` of each type → its configuration. */
import { suggestion } from "../config/nearest-name.ts";
import { describeValue, findSetting, type Problems, readSection, type Section } from "../config/section.ts";
import { choice, fieldsOf, type Settings } from "../config/setting.ts";
import { limitSettings, ruleDefaultSettings } from "../config/settings.ts";
import type { SourceConfig, SourceContext, SourceReading, SourceTypes, TemplateUse } from "../config/source-types.ts";
import type { SourceInput, SourceType } from "./source-type.ts";
import { parseTemplate, templateNames } from "./template.ts";

/** The settings of all sources. `names` holds the names of the types. */
export function commonSettings(names: readonly string[]): Settings {
  return {
    type: { type: choice(...names), default: null, isRequired: true, meaning: "Type of the source." },
    ...limitSettings,
    ...ruleDefaultSettings,
  };
}

/** Reads sources of the given types. */
export class SourceReader implements SourceTypes {
  readonly settings: Settings;
  private readonly types: readonly SourceType[];
  private readonly common: Settings;

  constructor(types: readonly SourceType[]) {
    this.types = types;
    this.common = commonSettings(types.flatMap(({ names }) => names));
    this.settings = Object.assign({}, this.common, ...types.map(({ settings }) => settings));
  }

  read(name: string, section: Section, context: SourceContext, problems: Problems): SourceReading {
    const nothing: SourceReading = { name, source: null, uses: [], parts: [], files: [] };
    const type = this.typeOf(section);
    if (type === undefined) {
      this.reportType(section, problems);
      return nothing;
    }
    const uses: TemplateUse[] = [];
    const checkTemplate: SourceInput["checkTemplate"] = (text, place) => {
      try {
        uses.push(...templateNames(parseTemplate(text)).map((used) => ({ name: used, place })));
      } catch (error) {
        problems.add(place, error instanceof Error ? error.message : String(error));
      }
    };
    const rows = this.settingsOf(section);
    const found = (key: string) => findSetting(section, key, rows[key]!);
    const placeOf = (key: string) => found(key)?.place ?? section.place;
    const values = readSection(section, rows, problems, checkTemplate);
    // The values were read with this type's rows.
    const own = type.read(fieldsOf(type.settings, values) as never, {
      ...context,
      section,
      problems,
      found,
      placeOf,
      checkTemplate,
      timeoutMs: fieldsOf(limitSettings, values).timeoutMs,
    });
    if (own === null) return { ...nothing, uses };
    const source: SourceConfig = { type: type.names[0], name, ...fieldsOf(limitSettings, values), ...own };
    const listed = Object.keys(type.settings).find((key) => rows[key]!.type.kind === "parts");
    const place = listed === undefined ? section.place : placeOf(listed);
    const parts = (type.partsOf?.(source) ?? []).map((part) => ({ ...part, place }));
    return { name, source, uses, parts, files: type.filesOf?.(source) ?? [] };
  }

  settingsOf(section: Section): Settings {
    const type = this.typeOf(section);
    return type === undefined ? {} : { ...this.common, ...type.settings };
  }

  private typeOf(section: Section): SourceType | undefined {
    const named = section.found.get("type")?.value;
    return this.types.find(({ names }) => names.some((each) => each === named));
  }

  private reportType(section: Section, problems: Problems): void {
    const found = section.found.get("type");
    const place = found?.place ?? { ...section.place, path: `${section.place.path}.type` };
    const names = this.types.flatMap((type) => type.names);
    const expected = `expected ${names.map((each) => `"${each}"`).join(", ")}`;
    if (found === undefined) {
      problems.add(place, `missing; ${expected}`);
      return;
    }
    const hint = typeof found.value === "string" ? suggestion(found.value, names) : "";
    problems.add(place, `${expected}, got ${describeValue(found.value)}${hint}`);
  }
}
