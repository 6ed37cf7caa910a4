/** The program inside the executable file: what src/main.ts is for a package. It must not wait at its top level. */
import { start } from "../src/commands/start.ts";

void start(process.argv.slice(2));
