/**
 * A type of source, in one file: its rows of settings, how they are read, and what is built from them. `types.ts` lists the
 * types; no other file knows them. docs/contributing.md tells how to add one.
 */
import type { Clock } from "../clock.ts";
import type { Found, Place, Problems, Section } from "../config/section.ts";
import type { Settings, Values } from "../config/setting.ts";
import type { limitSettings } from "../config/settings.ts";
import type { SourceConfig, SourceContext, SourcePart } from "../config/source-types.ts";
import type { Captures, FetchContext, FetchResult, Source } from "./source.ts";

export interface SourceType<Rows extends Settings = Settings, Config extends SourceConfig = SourceConfig> {
  /** What `type` may say. The first name is the one that `Config` has. */
  readonly names: readonly [string, ...string[]];
  /** One line for docs/configuration.md. */
  readonly about: string;
  /** Its own settings, beside those of all sources. */
  readonly settings: Rows;
  /** Checks values that were read by the rows. Returns `null` if the source cannot be used; reports the reason. */
  read(values: ReadValues<Rows>, input: SourceInput): OwnConfig<Config> | null;
  create(config: Config, context: CreateContext): Source;
  /** The sources that it asks. They are built before it. */
  partsOf?(config: Config): readonly Omit<SourcePart, "place">[];
  /** Files that belong to its configuration, as absolute paths. */
  filesOf?(config: Config): readonly string[];
  /** Name of the host that it asks. */
  hostOf?(config: Config): string;
  /** Connections that it may open. */
  maxConnections?(config: Config): number;
  /** What is right as such and cannot work on this machine, a line for each. Never rejects, and changes nothing. */
  warnings?(config: Config, env: Environment): Promise<readonly string[]>;
}

/** Values of any type's rows are nothing that another type could be handed. */
type ReadValues<Rows extends Settings> = string extends keyof Rows ? never : Values<Rows>;

export type Environment = Readonly<Record<string, string | undefined>>;

/** What a type adds to the settings of all sources; it may put a number of retries in the place of the configured one. */
type OwnConfig<Config extends SourceConfig> = Omit<Config, "type" | "name" | keyof Values<typeof limitSettings>> & {
  readonly retries?: number;
};

/** What a source is read from beside its values: where they stand, for messages and for checks. */
export interface SourceInput extends SourceContext {
  readonly section: Section;
  readonly problems: Problems;
  /** A setting as it was given, under any of its names. */
  found(key: string): Found | undefined;
  /** Where a setting stands; the section if it is not given. */
  placeOf(key: string): Place;
  /** Reports a text that is no template, and notes what the others use of a key. Settings of templates are checked already. */
  checkTemplate(text: string, place: Place): void;
}

/** What a source is built with. */
export interface CreateContext {
  readonly clock: Clock;
  /** Sources that are built already, and those of the configuration before: some share a client with them. */
  readonly peers: Iterable<Source>;
  /** A part that is built already, behind its limits. */
  partNamed(name: string): PartSource;
}

/** A source that is asked for a part, behind its limits. */
export interface PartSource {
  fetch(captures: Captures, priority: "fill" | "refresh", tag: string | null): Promise<FetchResult>;
  describe(context: FetchContext): string[];
}
