// Writes docs/configuration.md from the settings table, and the list of metrics in docs/operating.md from theirs. Run it
// after every change of src/config/settings.ts and src/telemetry/counters.ts.
import { readFile, writeFile } from "node:fs/promises";
import { renderReference } from "../src/config/reference.ts";
import { withMetricList } from "../src/telemetry/metric-list.ts";

await writeFile(new URL("../docs/configuration.md", import.meta.url), renderReference());
const operating = new URL("../docs/operating.md", import.meta.url);
await writeFile(operating, withMetricList(await readFile(operating, "utf8")));
