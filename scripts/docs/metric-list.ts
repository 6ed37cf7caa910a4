/** The table of metrics as a list for people: the part of docs/metrics.md between its marks. */
import { metrics, prometheusName } from "../../src/observe/metrics.ts";

const FIRST = "<!-- metrics, written by `npm run docs` from src/observe/metrics.ts -->";
const LAST = "<!-- end of metrics -->";

/** `page` with the list as it is now between its marks. */
export function withMetricList(page: string): string {
  const [before, rest] = page.split(FIRST);
  const after = rest?.split(LAST)[1];
  if (after === undefined) throw new Error(`the page has no ${FIRST} … ${LAST}`);
  const rows = metrics.map((metric) => {
    const labels = metric.attributes.map((attribute) => `\`${attribute.replaceAll(".", "_")}\``).join(", ");
    return `| \`${prometheusName(metric)}\` | ${metric.kind} | ${labels} | ${metric.meaning} |`;
  });
  const head = "| Metric | Kind | Labels | Meaning |\n| --- | --- | --- | --- |";
  return `${before}${FIRST}\n\n${head}\n${rows.join("\n")}\n\n${LAST}${after}`;
}
