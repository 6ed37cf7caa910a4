// Writes docs/configuration.md from the settings table. Run it after every change of src/config/settings.ts.
import { writeFile } from "node:fs/promises";
import { renderReference } from "../src/config/reference.ts";

await writeFile(new URL("../docs/configuration.md", import.meta.url), renderReference());
