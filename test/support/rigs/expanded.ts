import { type ExpandedConfig, expandMcrouterConfig } from "../../../src/mcrouter/config/expand.ts";
import { plainJson } from "../../../src/mcrouter/config/json-value.ts";

/** Files by absolute path; the configuration itself is /etc/mcrouter/config.json. */
export type Files = Readonly<Record<string, string>>;

/** Expands the configuration `text`. */
export function expand(
  text: string,
  files: Files = {},
  params: Record<string, string | number> = {},
): Promise<ExpandedConfig> {
  const readFile = async (path: string): Promise<string> => {
    const content = files[path];
    if (content === undefined) throw Object.assign(new Error(path), { code: "ENOENT" });
    return content;
  };
  return expandMcrouterConfig({ text, file: "/etc/mcrouter/config.json", params, readFile });
}

/** What `value` (JSON text) becomes beside `macros`. */
export async function expanded(value: string, macros = "{}", files: Files = {}, params = {}): Promise<unknown> {
  const { document, problems } = await expand(`{ "macros": ${macros}, "value": ${value} }`, files, params);
  if (document === null) throw new Error(problems.map(({ message }) => message).join("\n"));
  return plainJson(document.members.get("value")!);
}

/** What is wrong with `value` beside `macros`: one message. */
export async function mistake(value: string, macros = "{}", files: Files = {}): Promise<string | undefined> {
  const { problems } = await expand(`{ "macros": ${macros}, "value": ${value} }`, files);
  return problems.map(({ message }) => message).join("\n");
}
