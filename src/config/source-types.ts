/**
 * What reading a configuration asks of the types of sources. `src/sources` has the types, each in its file; this folder
 * knows what all of them have in common.
 */
import type { FilesRead } from "./files-read.ts";
import type { AwsConnection } from "./native-aws.ts";
import type { Place, Problems, Section } from "./section.ts";
import type { Settings, Values } from "./setting.ts";
import type { limitSettings } from "./settings.ts";

/** What every source has, whatever its type. The rest is known to its type alone. */
export interface SourceConfig extends Values<typeof limitSettings> {
  /** First name of its type. */
  readonly type: string;
  readonly name: string;
}

/** Types of sources that a configuration may name. */
export interface SourceTypes {
  /** The rows of `[source.NAME]`, of all types together. */
  readonly settings: Settings;
  /** The rows of a `[source.NAME]` by its type; none if it has no type that is known. */
  settingsOf(section: Section): Settings;
  /** Reads `[source.NAME]`; `section` has its references resolved. */
  read(name: string, section: Section, context: SourceContext, problems: Problems): SourceReading;
}

/** What a source is read with. */
export interface SourceContext {
  /** Folder that relative paths start from. */
  readonly folder: string;
  readonly reads: FilesRead;
  /** Connections to AWS by the name of their `[pool.NAME]`. */
  readonly awsPools: ReadonlyMap<string, AwsConnection>;
}

/** One source as it was read. */
export interface SourceReading {
  readonly name: string;
  /** `null` if it cannot be used. The reason has been reported. */
  readonly source: SourceConfig | null;
  /** What its templates use of a key. */
  readonly uses: readonly TemplateUse[];
  /** The sources that it asks. */
  readonly parts: readonly SourcePart[];
  /** Files that belong to its configuration, as absolute paths. */
  readonly files: readonly string[];
}

/** A name that a template uses ("key", a capture's name, or its number as digits), and where the template stands. */
export interface TemplateUse {
  readonly name: string;
  readonly place: Place;
}

/** A source that another source asks. */
export interface SourcePart {
  /** Its name, as the configuration says it: it may not exist. */
  readonly source: string;
  /** Names of captures that are replaced on the way to it. */
  readonly replaced: readonly string[];
  /** Where it is named. */
  readonly place: Place;
}
