/**
 * A type of source, in one file: its settings, their reader, and the builder of the source. `types.ts` lists the types;
 * no other file knows them. docs/contributing.md describes how to add one.
 */
import type { Clock } from "../clock.ts";
import type { Found, Place, Problems, Section } from "../config/section.ts";
import type { Settings, Values } from "../config/setting.ts";
import type { limitSettings } from "../config/settings.ts";
import type { SourceConfig, SourceContext, SourcePart } from "../config/source-types.ts";
import type { Captures, FetchContext, FetchResult, Source } from "./source.ts";

export interface SourceType<Rows extends Settings = Settings, Config extends SourceConfig = SourceConfig> {
  /** Valid values of `type`. `Config` has the first name. */
  readonly names: readonly [string, ...string[]];
  /** One line for docs/configuration.md. */
  readonly about: string;
  /** The type's settings, in addition to those of all sources. */
  readonly settings: Rows;
  /** Checks values that were read with the rows. Returns `null` if the source is invalid, and reports the reason. */
  read(values: ReadValues<Rows>, input: SourceInput): OwnConfig<Config> | null;
  create(config: Config, context: CreateContext): Source;
  /** The sources that it asks. They are built first. */
  partsOf?(config: Config): readonly Omit<SourcePart, "place">[];
  /** Files that belong to its configuration, as absolute paths. */
  filesOf?(config: Config): readonly string[];
  /** Name of the host that it connects to. */
  hostOf?(config: Config): string;
  /** Maximum number of connections. */
  maxConnections?(config: Config): number;
  /** Warnings about a valid configuration that cannot work on this machine. Never rejects, and changes nothing. */
  warnings?(config: Config, env: Environment): Promise<readonly string[]>;
}

/** For an unknown type: its values must not be passed to another type. */
type ReadValues<Rows extends Settings> = string extends keyof Rows ? never : Values<Rows>;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Fields that a type adds to the common settings. A type may replace the number of retries. */
type OwnConfig<Config extends SourceConfig> = Omit<Config, "type" | "name" | keyof Values<typeof limitSettings>> & {
  readonly retries?: number;
};

/** Input for the reader of a source: positions for messages, and checks. */
export interface SourceInput extends SourceContext {
  readonly section: Section;
  readonly problems: Problems;
  /** Timeout of a fetch of the source. */
  readonly timeoutMs: number;
  /** A setting as given, under any of its names. */
  found(key: string): Found | undefined;
  /** Position of a setting, or of the section if it is not given. */
  placeOf(key: string): Place;
  /**
   * Reports an invalid template, and records the parts of a key that a valid one uses. Settings of type template are
   * checked already.
   */
  checkTemplate(text: string, place: Place): void;
}

/** Input for the builder of a source. */
export interface CreateContext {
  readonly clock: Clock;
  /** Sources that are already built, and those of the previous configuration: a source may share their client. */
  readonly peers: Iterable<Source>;
  /** A part that is already built, with its limits. */
  partNamed(name: string): PartSource;
}

/** A source that a merge asks, with its limits. */
export interface PartSource {
  fetch(captures: Captures, priority: "fill" | "refresh", tag: string | null): Promise<FetchResult>;
  describe(context: FetchContext): string[];
}
