/**
 * What configuration checks need to know of templates.
 */
import type { NativeHooks } from "../config/native-source.ts";
import { parseTemplate, templateNames } from "../sources/template.ts";

export const templateHooks: NativeHooks = { checkTemplate: (text) => templateNames(parseTemplate(text)) };
