/**
 * The library: a Platypus put together in code. Options have the names of the configuration file's settings in camel
 * case, and are read and checked by the same table.
 */
import { addressText, type Config } from "./config/config.ts";
import { locateLines } from "./config/locate.ts";
import { readDocument } from "./config/native.ts";
import type { Options } from "./config/setting.ts";
import { limitSettings, type ruleSettings, type serverSettings, type targetSettings } from "./config/settings.ts";
import { UsageError } from "./errors.ts";
import type { Getter } from "./getter.ts";
import { Platypus } from "./server/platypus.ts";
import { sourceTypesOfCode } from "./sources/types.ts";

type RuleOptions = Omit<Options<typeof ruleSettings>, "match" | "source">;

/** Settings of a getter's keys: those of `[get.NAME]` and `[source.NAME]`. What is left out has its default. */
export interface GetterOptions extends RuleOptions, Options<typeof limitSettings> {}

/** Settings of `[server]`. `admin` is `off` unless it is given. */
export interface ServerOptions extends Omit<Options<typeof serverSettings>, "listen" | "workers"> {}

/** Settings of the pool of memcached servers, as `[target]` has them. */
export interface TargetOptions extends Omit<Options<typeof targetSettings>, "servers" | "host" | "port"> {}

/** A Platypus that is being put together, and then one that runs. */
export interface PlatypusServer {
  /**
   * Keys that `pattern` (RE2 syntax) matches as a whole have their values from `getter`. Patterns are tried in the order
   * they were given.
   */
  get(pattern: string, getter: Getter, options?: GetterOptions): PlatypusServer;
  /** memcached servers: `memcache://HOST:PORT`, several divided by commas, or `unix:PATH`. Without one a store in this process. */
  target(servers: string | readonly string[], options?: TargetOptions): PlatypusServer;
  /**
   * Starts to listen on `host:port` or `unix:PATH`; port 0 takes any free one. Resolves to the addresses. Rejects with a
   * ConfigError that has everything that is wrong with options, or a PlatypusError where the address cannot be had.
   */
  listen(...addresses: string[]): Promise<readonly string[]>;
  /** Answers what was read, then stops. */
  close(): Promise<void>;
}

interface Given {
  readonly pattern: string;
  readonly getter: Getter;
  readonly options: GetterOptions;
}

/** A new Platypus with no getters, which listens to nobody yet. */
export function createPlatypus(options: ServerOptions = {}): PlatypusServer {
  return new LibraryPlatypus(options);
}

class LibraryPlatypus implements PlatypusServer {
  private readonly options: ServerOptions;
  private readonly getters: Given[] = [];
  private pool: Record<string, unknown> | null = null;
  private running: Promise<Platypus> | null = null;

  constructor(options: ServerOptions) {
    this.options = options;
  }

  get(pattern: string, getter: Getter, options: GetterOptions = {}): PlatypusServer {
    if (typeof getter !== "function") {
      throw new UsageError(
        `get(${JSON.stringify(pattern)}, …): expected a function that returns the value, found ${typeof getter}`,
      );
    }
    this.getters.push({ pattern, getter, options });
    return this;
  }

  target(servers: string | readonly string[], options: TargetOptions = {}): PlatypusServer {
    const list = [servers].flat().flatMap((text) => text.replace(/^memcached?:\/\//, "").split(","));
    this.pool = { servers: list.map((text) => text.trim().replace(/\/$/, "")), ...settingsOf(options) };
    return this;
  }

  async listen(...addresses: string[]): Promise<readonly string[]> {
    if (this.running !== null) throw new UsageError("listen was called already");
    const config = this.configFor(addresses);
    const running = Platypus.start(config);
    // At once: a second call, or a close, may come before it listens.
    this.running = running;
    try {
      return (await running).addresses.map(addressText);
    } catch (error) {
      if (this.running === running) this.running = null;
      throw error;
    }
  }

  async close(): Promise<void> {
    const running = this.running;
    // Where it could not be started `listen` says so.
    await (await running?.catch(() => null))?.drain();
    if (this.running === running) this.running = null;
  }

  private configFor(addresses: readonly string[]): Config {
    const names = this.getters.map((_, index) => `getter${index + 1}`);
    const document = {
      // A process that has Platypus in it opens no port that it did not ask for.
      server: { admin: "off", ...settingsOf(this.options), ...(addresses.length > 0 && { listen: addresses }) },
      ...(this.pool !== null && { target: this.pool }),
      get: tablesOf(names, this.getters, ({ pattern, options }, name) => ({
        match: pattern,
        source: name,
        ...settingsOf(options, (key) => !(key in limitSettings)),
      })),
      source: tablesOf(names, this.getters, ({ getter, options }) => ({
        type: "getter",
        getter,
        ...settingsOf(options, (key) => key in limitSettings),
      })),
    };
    return readDocument({
      file: null,
      document,
      lines: locateLines(""),
      env: {},
      overrides: {},
      sourceTypes: sourceTypesOfCode,
    });
  }
}

function tablesOf(
  names: readonly string[],
  getters: readonly Given[],
  table: (given: Given, name: string) => Record<string, unknown>,
): Record<string, unknown> {
  return Object.fromEntries(names.map((name, index) => [name, table(getters[index]!, name)]));
}

/** Options under the names of the configuration file; `isWanted` is asked for these. */
function settingsOf(options: object, isWanted: (key: string) => boolean = () => true): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).flatMap(([option, value]) => {
      const key = option.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return value !== undefined && isWanted(key) ? [[key, value]] : [];
    }),
  );
}
