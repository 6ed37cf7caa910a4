/**
 * Loads the configuration of a process that serves, again and again. What the first one was stays: a configuration of
 * another form, or one without a pool where there was one, is refused, because its file was emptied, cut
 * off or replaced by mistake. With it, clients would write to the store of this process instead of the pool.
 */

import type { Config } from "../config/config.ts";
import { type FileContents, FilesRead } from "../config/files-read.ts";
import { ConfigError } from "../errors.ts";
import type { ReadText } from "../mcrouter/config/config.ts";
import { type ConfigForm, type LoadOptions, loadConfig } from "./load-config.ts";

/** The properties of the first configuration that every later one must have. */
export interface Expected {
  readonly form: ConfigForm;
  readonly hasPool: boolean;
}

export class ConfigLoader {
  /** `null` before the first configuration. */
  expected: Expected | null;
  /** What the files of the configuration in use had, and those of one that was refused after it. */
  contents: FileContents = new Map();
  private readonly options: Omit<LoadOptions, "reads" | "form" | "onForm" | "readFrom">;

  /** `expected`: what the process was started with whose place this one takes. `null` if this is the first process. */
  constructor(options: Omit<LoadOptions, "reads" | "form" | "onForm" | "readFrom">, expected: Expected | null = null) {
    this.options = options;
    this.expected = expected;
  }

  /** Rejects with a `ConfigError`. `readFrom`: where the files of a mcrouter configuration are read from instead. */
  async load(readFrom?: ReadText): Promise<Config> {
    const { expected } = this;
    const reads = new FilesRead(expected === null);
    let form: ConfigForm = "native";
    try {
      const config = await loadConfig({
        ...this.options,
        reads,
        form: expected?.form ?? null,
        onForm: (found) => {
          form = found;
        },
        ...(readFrom !== undefined && { readFrom }),
      });
      const hasPool = config.pools.length > 0 || config.tree !== null;
      if (expected?.hasPool === true && !hasPool) throw withoutPool(config.file);
      this.expected = { form, hasPool: hasPool || expected?.hasPool === true };
      // Files that were read from elsewhere are those of the attempt before.
      this.contents = readFrom === undefined ? reads.contents : new Map([...this.contents, ...reads.contents]);
      return config;
    } catch (error) {
      this.contents = new Map([...this.contents, ...reads.contents]);
      throw error;
    }
  }
}

function withoutPool(file: string | null): ConfigError {
  const message =
    "there is no pool of servers any more; a running Platypus does not begin to store values itself: restart it if that is meant";
  return new ConfigError([{ file, line: null, message }]);
}
