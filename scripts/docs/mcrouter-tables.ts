/** mcrouter's route handles and options with what they do here, for docs/migrating/mcrouter.md: from the tables that are run by. */
import { optionRows } from "../../src/mcrouter/config/option-table.ts";
import { routeRefusals } from "../../src/mcrouter/config/route-refusals.ts";
import { handles as readers } from "../../src/mcrouter/handles.ts";

const FIRST = "<!-- handles and options of mcrouter, written by `npm run docs` -->";
const LAST = "<!-- end of handles and options -->";

/** `page` with the tables as they are now between its marks. */
export function withMcrouterTables(page: string): string {
  const [before, rest] = page.split(FIRST);
  const after = rest?.split(LAST)[1];
  if (after === undefined) throw new Error(`the page has no ${FIRST} … ${LAST}`);
  return `${before}${FIRST}\n\n${handles()}\n\n${options()}\n\n${LAST}${after}`;
}

function handles(): string {
  const works = Object.keys(readers).map((name) => `\`${name}\``);
  const refused = Object.values(routeRefusals).map((reason) => `- ${reason}.`);
  return `**Handles that work**: ${works.join(", ")}.\n\n**Handles that Platypus refuses**, each with this error:\n\n${refused.join("\n")}`;
}

function options(): string {
  const given = optionRows.filter(({ long }) => long !== "");
  const rows = given.map(({ long, short, kind, default: fallback, effect }) => {
    const names = `\`--${long}\`${short === "" ? "" : `, \`-${short}\``}`;
    const value = fallback === "" ? "" : `\`${fallback}\``;
    return `| ${names} | ${kind} | ${value} | ${effect === "works" ? "works" : "no effect"} |`;
  });
  const working = given.filter(({ effect }) => effect === "works").length;
  const head = `**Options**: ${working} of ${given.length} work. Platypus accepts the others and warns at its start that they have no effect.`;
  return `${head}\n\n| Option | Value | Default | Here |\n| --- | --- | --- | --- |\n${rows.join("\n")}`;
}
