/**
 * Loads and reloads the configuration of a running process. A later configuration is refused if its format differs from
 * the first one, or if it has no pool and the first one had: the file was probably emptied, truncated or replaced by
 * mistake. With such a configuration, clients would write to the store of this process instead of the pool.
 */

import type { Config } from "../config/config.ts";
import { type FileContents, FilesRead } from "../config/files-read.ts";
import { ConfigError } from "../errors.ts";
import type { ReadText } from "../mcrouter/config/config.ts";
import { type ConfigForm, type LoadOptions, loadConfig } from "./load-config.ts";

/** Properties of the first configuration that each later one must have. */
export interface Expected {
  readonly form: ConfigForm;
  readonly hasPool: boolean;
}

export class ConfigLoader {
  /** `null` before the first configuration. */
  expected: Expected | null;
  /** File contents of the configuration in use, and of a configuration that was refused after it. */
  contents: FileContents = new Map();
  private readonly options: Omit<LoadOptions, "reads" | "form" | "onForm" | "readFrom">;

  /** `expected` comes from the process that this one replaces. `null` if this is the first process. */
  constructor(options: Omit<LoadOptions, "reads" | "form" | "onForm" | "readFrom">, expected: Expected | null = null) {
    this.options = options;
    this.expected = expected;
  }

  /** Rejects with a `ConfigError`. `readFrom` replaces the reader of a mcrouter configuration's files. */
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
      // Contents from another reader are those of the previous attempt.
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
