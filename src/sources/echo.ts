/**
 * A source that returns its template: for tests, and for values that derive from their key.
 */
import { type Complete, type Settings, template } from "../config/setting.ts";
import type { SourceConfig } from "../config/source-types.ts";
import type { FetchContext, FetchResult, Source } from "./source.ts";
import type { SourceType } from "./source-type.ts";
import { asBytes, parseTemplate, renderTemplate, type Template } from "./template.ts";

const settings = {
  template: { type: template, default: "{key}", meaning: "Template of the value." },
} as const satisfies Settings;

export interface EchoSourceConfig extends SourceConfig, Complete<typeof settings> {}

export const echoType: SourceType<typeof settings, EchoSourceConfig> = {
  names: ["echo"],
  about: "Makes the value from the key.",
  settings,
  read: (values) => values,
  create: (config) => new EchoSource(config),
};

/** Has an answer for each key. */
export class EchoSource implements Source {
  readonly name: string;
  private readonly template: Template;

  constructor(config: EchoSourceConfig) {
    this.name = config.name;
    // As bytes, so that literal text and bytes of the key can be joined.
    this.template = parseTemplate(Buffer.from(config.template, "utf8").toString("latin1"));
  }

  async fetch(context: FetchContext): Promise<FetchResult> {
    return {
      type: "value",
      tag: null,
      freshness: null,
      value: Buffer.from(renderTemplate(this.template, context, asBytes), "latin1"),
    };
  }

  describe(context: FetchContext): string[] {
    return [JSON.stringify(renderTemplate(this.template, context, asBytes))];
  }

  async close(): Promise<void> {}
}
