// Writes what docs have from tables of the code: docs/configuration.md, config/platypus.toml and its schema, the metrics in docs/metrics.md, mcrouter's handles
// and options in docs/migrating/mcrouter.md. Run it after every change of these tables.
import { readFile, writeFile } from "node:fs/promises";
import { withMcrouterTables } from "./docs/mcrouter-tables.ts";
import { withMetricList } from "./docs/metric-list.ts";
import { renderSchema } from "./docs/schema.ts";
import { renderSettingsFile } from "./docs/settings-file.ts";
import { renderReference } from "./docs/settings-page.ts";

await writeFile(new URL("../docs/configuration.md", import.meta.url), renderReference());
await writeFile(new URL("../config/platypus.toml", import.meta.url), renderSettingsFile());
await writeFile(new URL("../config/platypus.schema.json", import.meta.url), renderSchema());
const operating = new URL("../docs/metrics.md", import.meta.url);
await writeFile(operating, withMetricList(await readFile(operating, "utf8")));
const migrating = new URL("../docs/migrating/mcrouter.md", import.meta.url);
await writeFile(migrating, withMcrouterTables(await readFile(migrating, "utf8")));
