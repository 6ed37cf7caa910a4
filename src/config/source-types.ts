/**
 * The interface between the configuration and the types of sources. `src/sources` has the types, one per file; this
 * folder knows only their common part.
 */
import type { FilesRead } from "./files-read.ts";
import type { AwsConnection } from "./native-aws.ts";
import type { Place, Problems, Section } from "./section.ts";
import type { Settings, Values } from "./setting.ts";
import type { limitSettings } from "./settings.ts";

/** Common fields of all sources. The other fields belong to the type. */
export interface SourceConfig extends Values<typeof limitSettings> {
  /** First name of the type. */
  readonly type: string;
  readonly name: string;
}

/** The known types of sources. */
export interface SourceTypes {
  /** The rows of `[source.NAME]`, of all types together. */
  readonly settings: Settings;
  /** The rows of a `[source.NAME]` by its type. Empty if the type is unknown. */
  settingsOf(section: Section): Settings;
  /** Reads `[source.NAME]`. The references in `section` are resolved. */
  read(name: string, section: Section, context: SourceContext, problems: Problems): SourceReading;
}

/** Input for a source from the rest of the configuration. */
export interface SourceContext {
  /** Folder of relative paths. */
  readonly folder: string;
  readonly reads: FilesRead;
  /** Connections to AWS by the name of their `[pool.NAME]`. */
  readonly awsPools: ReadonlyMap<string, AwsConnection>;
}

/** A source after reading. */
export interface SourceReading {
  readonly name: string;
  /** `null` if the source is invalid. The problem has been reported. */
  readonly source: SourceConfig | null;
  /** The parts of a key that its templates use. */
  readonly uses: readonly TemplateUse[];
  /** Sources that this source asks. */
  readonly parts: readonly SourcePart[];
  /** Files of its configuration, as absolute paths. */
  readonly files: readonly string[];
}

/** A name in a template ("key", the name of a capture, or its number as digits), and the template's position. */
export interface TemplateUse {
  readonly name: string;
  readonly place: Place;
}

/** A source that another source asks. */
export interface SourcePart {
  /** Name of the source as in the configuration. The source may not exist. */
  readonly source: string;
  /** Names of captures that are replaced for this part. */
  readonly replaced: readonly string[];
  /** Position of the name. */
  readonly place: Place;
}
